# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Write the table-top scene as a world for Gazebo, from the compiled MuJoCo model.

    python -m worlds.write_tabletop > worlds/tabletop.sdf

Shapes, frames, joint limits, masses and cameras are the model's own, so that both simulators show
the same robot. What differs is said where it does. Topic names are Gazebo's own defaults.
"""

from collections.abc import Iterable
from typing import Any
import xml.etree.ElementTree as ET

import mujoco
import numpy as np
from vla_cache_ros.environments.tabletop.randomize import draw_scene
from vla_cache_ros.environments.tabletop.scene import ARM_JOINTS
from vla_cache_ros.environments.tabletop.scene import build_xml
from vla_cache_ros.environments.tabletop.scene import CUBE_COLORS
from vla_cache_ros.environments.tabletop.scene import CUBE_HALF
from vla_cache_ros.environments.tabletop.scene import FINGER_JOINTS
from vla_cache_ros.environments.tabletop.scene import IMAGE_SIZE
from vla_cache_ros.environments.tabletop.scene import PLATE_COLORS
from vla_cache_ros.environments.tabletop.tasks import TASKS

WORLD, ARM = 'tabletop', 'arm'
CAMERAS = {'front': 'image_raw', 'wrist': 'wrist/image_raw'}  # camera -> topic
IMAGE_RATE = 20  # Hz
STEP = 0.002  # s; the fingers' controllers need it this short
# Of MuJoCo's stiffness and damping. Releases before gz-sim 8.6 and gz-physics 7.4 put gravity on
# the arm all the same; with once the stiffness it sags by more than what counts as at home.
ARM_STIFFNESS = 2
_SCENE = (0, 'put_red_on_green')  # seed and task of the layout
_SHAPES = {
    mujoco.mjtGeom.mjGEOM_BOX: 'box',
    mujoco.mjtGeom.mjGEOM_CYLINDER: 'cylinder',
    mujoco.mjtGeom.mjGEOM_CAPSULE: 'capsule',
    mujoco.mjtGeom.mjGEOM_PLANE: 'plane',
}
# Gazebo's cameras look along x with z up, MuJoCo's along -z with y up.
_OPTICAL = np.array([[0.0, -1, 0], [0, 0, 1], [-1, 0, 0]])


def build_sdf() -> str:
    """Return the world."""
    return _World().text()


class _World:
    """Walks over the model's bodies and writes each once."""

    def __init__(self):
        self._model = mujoco.MjModel.from_xml_string(build_xml())
        self._root = ET.Element('sdf', version='1.9')
        self._world = _add(self._root, 'world', name=WORLD)

    def text(self) -> str:
        """Return the file."""
        self._surroundings()
        for name in ('floor', 'table'):
            geoms = [name] if name == 'floor' else [name, 'line_left', 'line_right']
            link = self._thing(name, static=True)
            for geom in geoms:
                self._geom(link, self._model.geom(geom).id)
        self._front_camera()
        self._arm()
        self._objects()
        ET.indent(self._root)
        head = '<?xml version="1.0"?>\n<!-- made by worlds.write_tabletop -->\n'
        return head + ET.tostring(self._root, encoding='unicode') + '\n'

    def _surroundings(self) -> None:
        physics = _add(self._world, 'physics', name='physics', type='dart')
        _add(physics, 'max_step_size', STEP)
        _add(physics, 'real_time_factor', 1)
        # in the default one's contacts a grasped cube wanders between the fingers
        _add(_add(_add(physics, 'dart'), 'solver'), 'solver_type', 'pgs')
        for system in ('Physics', 'UserCommands', 'SceneBroadcaster'):
            _plugin(self._world, system)
        _add(_plugin(self._world, 'Sensors'), 'render_engine', 'ogre2')
        ambient = self._model.vis.headlight.ambient
        scene = _add(self._world, 'scene')
        _add(scene, 'ambient', [*ambient, 1])
        _add(scene, 'shadows', 'false')
        # No light moves with a camera here: the sun gives what the headlight gave.
        sun = _add(self._world, 'light', name='sun', type='directional')
        diffuse = self._model.light_diffuse[0] + self._model.vis.headlight.diffuse
        _add(sun, 'cast_shadows', 'false')
        _add(sun, 'pose', [*self._model.light_pos[0], 0, 0, 0])
        _add(sun, 'diffuse', [*diffuse, 1])
        _add(sun, 'specular', [0, 0, 0, 1])
        _add(sun, 'direction', self._model.light_dir[0])

    def _thing(self, name: str, static: bool, position: Iterable = (0, 0, 0)) -> ET.Element:
        """Add a model of one link at position [3], yaw last if there is a fourth."""
        *xyz, yaw = [*position, 0][:4]
        model = _add(self._world, 'model', name=name)
        if static:
            _add(model, 'static', 'true')
        _add(model, 'pose', [*xyz, 0, 0, yaw])
        return _add(model, 'link', name='link')

    def _front_camera(self) -> None:
        camera = self._model.camera('front')
        link = self._thing('front_camera', static=True)
        self._camera(link, camera.id)

    def _objects(self) -> None:
        seed, task = _SCENE
        scene = draw_scene(np.random.default_rng(seed), TASKS[task])
        for name, (x, y) in scene.plates.items():
            link = self._thing(f'plate_{name}', static=True, position=(x, y, 0))
            self._geom(link, self._model.geom(f'plate_{name}').id, PLATE_COLORS[name])
        for name, (x, y, yaw) in scene.cubes.items():
            spot = (x, y, CUBE_HALF, yaw)
            link = self._thing(f'cube_{name}', static=False, position=spot)
            self._inertial(link, self._model.body(f'cube_{name}').id)
            self._geom(link, self._model.geom(f'cube_{name}').id, CUBE_COLORS[name])

    def _arm(self) -> None:
        model = _add(self._world, 'model', name=ARM)
        for body in range(1, self._model.nbody):
            if self._model.body_rootid[body] == self._model.body('base').id:
                self._arm_link(model, body)
        _plugin(model, 'JointStatePublisher')
        for joint in (*ARM_JOINTS, *FINGER_JOINTS):
            self._controller(model, joint)

    def _arm_link(self, model: ET.Element, body: int) -> None:
        parent = self._model.body(self._model.body_parentid[body]).name
        link = _add(model, 'link', name=self._model.body(body).name)
        within = {} if parent == 'world' else {'relative_to': parent}
        _pose(link, self._model.body_pos[body], self._model.body_quat[body], **within)
        # as MuJoCo's gravcomp: a real arm's controller carries the arm
        _add(link, 'gravity', 'false')
        self._inertial(link, body)
        first = self._model.body_geomadr[body]
        for geom in range(first, first + self._model.body_geomnum[body]):
            self._geom(link, geom)
        if self._model.body(body).name == 'hand':
            self._camera(link, self._model.camera('wrist').id)
        self._joint(model, body, parent)

    def _joint(self, model: ET.Element, body: int, parent: str) -> None:
        child = self._model.body(body).name
        if not self._model.body_jntnum[body]:
            joint = _add(model, 'joint', name=f'{child}_mount', type='fixed')
            _add(joint, 'parent', parent)
            _add(joint, 'child', child)
            return
        index = self._model.body_jntadr[body]
        slides = self._model.jnt_type[index] == mujoco.mjtJoint.mjJNT_SLIDE
        name = self._model.joint(index).name
        kind = 'prismatic' if slides else 'revolute'
        joint = _add(model, 'joint', name=name, type=kind)
        _add(joint, 'parent', parent)
        _add(joint, 'child', child)
        axis = _add(joint, 'axis')
        _add(axis, 'xyz', self._model.jnt_axis[index])
        limit = _add(axis, 'limit')
        _add(limit, 'lower', self._model.jnt_range[index, 0])
        _add(limit, 'upper', self._model.jnt_range[index, 1])
        _add(limit, 'effort', self._actuator(name).forcerange[1])
        damping = self._model.dof_damping[self._model.jnt_dofadr[index]]
        if name in ARM_JOINTS:  # integrated implicitly here, unlike a controller's d_gain
            damping -= ARM_STIFFNESS * self._actuator(name).biasprm[2]
        _add(_add(axis, 'dynamics'), 'damping', damping)

    def _controller(self, model: ET.Element, joint: str) -> None:
        plugin = _plugin(model, 'JointPositionController')
        _add(plugin, 'joint_name', joint)
        actuator = self._actuator(joint)
        of_arm = joint in ARM_JOINTS
        _add(plugin, 'p_gain', actuator.gainprm[0] * (ARM_STIFFNESS if of_arm else 1))
        _add(plugin, 'i_gain', 0)
        _add(plugin, 'd_gain', 0 if of_arm else -actuator.biasprm[2])
        _add(plugin, 'cmd_max', actuator.forcerange[1])
        _add(plugin, 'cmd_min', actuator.forcerange[0])

    def _actuator(self, joint: str) -> Any:  # noqa: ANN401
        return self._model.actuator(joint.replace('finger_joint', 'finger'))

    def _inertial(self, link: ET.Element, body: int) -> None:
        inertial = _add(link, 'inertial')
        _pose(inertial, self._model.body_ipos[body], self._model.body_iquat[body])
        _add(inertial, 'mass', self._model.body_mass[body])
        inertia = _add(inertial, 'inertia')
        for name, value in zip(('ixx', 'iyy', 'izz'), self._model.body_inertia[body], strict=True):
            _add(inertia, name, value)

    def _geom(self, link: ET.Element, geom: int, rgb: Iterable | None = None) -> None:
        name = self._model.geom(geom).name or f'shape{geom}'
        solid = self._model.geom_contype[geom] or self._model.geom_conaffinity[geom]
        for kind in ('collision', 'visual') if solid else ('visual',):
            part = _add(link, kind, name=f'{name}_{kind}')
            _pose(part, self._model.geom_pos[geom], self._model.geom_quat[geom])
            self._shape(_add(part, 'geometry'), geom)
            if kind == 'visual':
                color = [*(self._model.geom_rgba[geom, :3] if rgb is None else rgb), 1]
                material = _add(part, 'material')
                _add(material, 'ambient', color)
                _add(material, 'diffuse', color)
            else:
                friction = _add(_add(_add(part, 'surface'), 'friction'), 'ode')
                for direction in ('mu', 'mu2'):
                    _add(friction, direction, self._model.geom_friction[geom, 0])

    def _shape(self, geometry: ET.Element, geom: int) -> None:
        size = self._model.geom_size[geom]
        name = _SHAPES[mujoco.mjtGeom(self._model.geom_type[geom])]
        shape = _add(geometry, name)
        if name == 'box':
            _add(shape, 'size', 2 * size)
        elif name == 'plane':
            _add(shape, 'normal', [0, 0, 1])
            _add(shape, 'size', 2 * size[:2])
        else:
            _add(shape, 'radius', size[0])
            _add(shape, 'length', 2 * size[1])

    def _camera(self, link: ET.Element, index: int) -> None:
        turn, quaternion = np.empty(9), np.empty(4)
        mujoco.mju_quat2Mat(turn, self._model.cam_quat[index])
        mujoco.mju_mat2Quat(quaternion, (turn.reshape(3, 3) @ _OPTICAL).ravel())
        name = self._model.camera(index).name
        sensor = _add(link, 'sensor', name=name, type='camera')
        _pose(sensor, self._model.cam_pos[index], quaternion)
        _add(sensor, 'topic', CAMERAS[name])
        _add(sensor, 'update_rate', IMAGE_RATE)
        camera = _add(sensor, 'camera')
        # MuJoCo's field of view is the vertical one; the images are square
        _add(camera, 'horizontal_fov', np.radians(self._model.cam_fovy[index]))
        image = _add(camera, 'image')
        _add(image, 'width', IMAGE_SIZE)
        _add(image, 'height', IMAGE_SIZE)
        _add(image, 'format', 'R8G8B8')
        clip = _add(camera, 'clip')
        near, far = self._model.vis.map.znear, self._model.vis.map.zfar
        _add(clip, 'near', near * self._model.stat.extent)
        _add(clip, 'far', far * self._model.stat.extent)


def _add(parent: ET.Element, tag: str, value: object = None, **attributes: str) -> ET.Element:
    child = ET.SubElement(parent, tag, attributes)
    if value is not None:
        child.text = value if isinstance(value, str) else _numbers(value)
    return child


def _numbers(value: object) -> str:
    rounded = np.round(np.atleast_1d(np.asarray(value, float)), 9) + 0.0  # no -0
    return ' '.join(f'{number:.7g}' for number in rounded)


def _pose(parent: ET.Element, xyz: Iterable, wxyz: np.ndarray, **within: str) -> None:
    values = [*xyz, *wxyz[[1, 2, 3, 0]]]
    _add(parent, 'pose', values, rotation_format='quat_xyzw', **within)


def _plugin(parent: ET.Element, system: str) -> ET.Element:
    words = ''.join(f'-{letter.lower()}' if letter.isupper() else letter for letter in system)
    return _add(
        parent, 'plugin', filename=f'gz-sim{words}-system', name=f'gz::sim::systems::{system}'
    )


if __name__ == '__main__':
    print(build_sdf(), end='')
