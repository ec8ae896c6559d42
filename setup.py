# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Build the package: with colcon beside a ROS install, with pip on a machine without one."""

from glob import glob
from pathlib import Path

from setuptools import find_packages
from setuptools import setup

PACKAGE = 'vla_cache_ros'
ROOT = Path(__file__).resolve().parent  # colcon's --symlink-install runs a link to this file

# What a robot needs. Ranges, since a robot brings its own build of torch; the versions that the
# tests run with are pinned in requirements.txt, which `make` installs.
ROBOT = [
    'setuptools',
    'numpy>=1.26',
    'torch>=2.6',
    'transformers>=5,<6',
    'safetensors>=0.5',
    'huggingface-hub>=1',
    'opencv-python-headless>=4.9',
    'pillow>=10.1',
    'PyYAML>=6',
    'tqdm>=4.60',
    'tyro>=1.0',
]
EXTRAS = {
    # the table-top arm and what follows a twist in Gazebo
    'sim': ['mujoco>=3.3.7'],
    # reading and writing recordings without ROS
    'bags': ['rosbags>=0.11', 'mcap>=1.2', 'zstandard>=0.23', 'lz4>=4.3'],
    # a policy in another process or machine: both ends of the wire
    'serve': ['websockets>=14', 'msgpack>=1.0.5', 'prometheus-client>=0.20'],
    # reading and writing LeRobot's data sets
    'datasets': ['pyarrow>=16', 'imageio-ffmpeg>=0.5'],
    # a model server for vla-eval; its LIBERO's pictures are compressed as JPEG once
    'vlaeval': ['vla-eval>=0.8,<0.9', 'simplejpeg>=1.8'],
    # evaluation and recording on several machines
    'fleet': ['ray>=2.40'],
    # watching a policy in Rerun
    'view': ['rerun-sdk>=0.23'],
    # measuring, reports and training
    'eval': [
        'accelerate>=1.10',
        'imageio-ffmpeg>=0.5',
        'Jinja2>=3.1',
        'matplotlib>=3.8',
        'psutil>=6',
        'scipy>=1.12',
        'tabulate>=0.9',
    ],
}


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
            'evaluation/paper.yaml',
            'serving/vla_eval/*.yaml',
        ]
    },
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{PACKAGE}']),
        (f'share/{PACKAGE}', ['package.xml']),
        (f'share/{PACKAGE}/launch', sorted(glob('launch/*.launch.py'))),
        (f'share/{PACKAGE}/config', sorted(glob('config/*'))),
        (f'share/{PACKAGE}/worlds', sorted(glob('worlds/*.sdf'))),
    ],
    python_requires='>=3.11',
    install_requires=ROBOT,
    extras_require={
        **EXTRAS,
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
            'gz_arm_node = vla_cache_ros.ros.drivers.gz_arm_node:main',
            'recorder = vla_cache_ros.ros.recorder:main',
            'vla_node = vla_cache_ros.ros.vla_node:main',
            'sim_robot_node = vla_cache_ros.ros.drivers.sim_robot_node:main',
        ],
    },
)
