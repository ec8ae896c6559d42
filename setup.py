# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Build the package: with colcon beside a ROS install, with pip on a machine without one."""

from glob import glob
from pathlib import Path

from setuptools import find_packages
from setuptools import setup

PACKAGE = 'vla_cache_ros'
ROOT = Path(__file__).resolve().parent  # colcon's --symlink-install runs a link to this file


def requirements(name: str) -> list[str]:
    """Return the requirement lines of a requirements file, comments left out."""
    lines = (ROOT / name).read_text(encoding='utf-8').splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith('#')]


setup(
    name=PACKAGE,
    version='0.1.0',
    packages=find_packages(include=[PACKAGE, f'{PACKAGE}.*']),
    package_data={
        PACKAGE: [
            'checkpoints/**/*',
            '**/*.html',
            'evaluation/gpu/frames.npz',
            'evaluation/paper.yaml',
        ]
    },
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{PACKAGE}']),
        (f'share/{PACKAGE}', ['package.xml']),
        (f'share/{PACKAGE}/launch', sorted(glob('launch/*.launch.py'))),
        (f'share/{PACKAGE}/config', sorted(glob('config/*.yaml'))),
        (f'share/{PACKAGE}/worlds', sorted(glob('worlds/*.sdf'))),
    ],
    python_requires='>=3.11',
    install_requires=['setuptools', *requirements('requirements.txt')],
    extras_require={
        'libero': requirements('requirements-libero.txt'),
        'ros': requirements('requirements-ros.txt'),
        'simpler': requirements('requirements-simpler.txt'),
        'test': requirements('requirements-test.txt'),
    },
    zip_safe=False,
    author='The vla_cache_ros authors',
    maintainer='The vla_cache_ros authors',
    maintainer_email='maintainers@vla-cache-ros.example',
    description='A vision-language-action model on a robot arm, with a visual token cache.',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    keywords=['ROS 2', 'VLA', 'OpenVLA', 'key-value cache', 'manipulation'],
    entry_points={
        'console_scripts': [
            'vla-cache = vla_cache_ros.cli.main:main',
            'gz_arm_node = vla_cache_ros.ros.gz_arm_node:main',
            'recorder = vla_cache_ros.ros.recorder:main',
            'vla_node = vla_cache_ros.ros.vla_node:main',
            'sim_robot_node = vla_cache_ros.ros.sim_robot_node:main',
        ],
    },
)
