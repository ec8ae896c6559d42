# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Say which extra of this package brings a module that is not installed."""

EXTRAS = {
    'sim': ('mujoco',),
    'bags': ('lz4', 'mcap', 'rosbags', 'zstandard'),
    'eval': (
        'accelerate',
        'imageio_ffmpeg',
        'jinja2',
        'matplotlib',
        'psutil',
        'scipy',
        'tabulate',
    ),
    'serve': ('msgpack', 'prometheus_client', 'websockets'),
    'datasets': ('pyarrow',),
    'fleet': ('ray',),
    'view': ('rerun',),
    'vlaeval': ('vla_eval',),
    'libero': ('libero', 'robosuite', 'simplejpeg'),
    'simpler': ('gymnasium', 'mani_skill', 'sapien'),
}


def missing(error: ModuleNotFoundError) -> str:
    """Return one line: the module that is not there, and what to install."""
    module = (error.name or '').partition('.')[0]
    for extra, modules in EXTRAS.items():
        if module in modules:
            return f"{error}: pip install 'vla_cache_ros[{extra}]'"
    if module == 'rclpy' or module.endswith(('_msgs', '_srvs', '_interfaces')):
        return f"{error}: source a ROS 2 install, or pip install 'vla_cache_ros[ros]'"
    return str(error)
