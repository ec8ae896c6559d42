# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The model and the engine reproduce what the reference implementation wrote down."""

import json
import shutil

import numpy as np
from paths import DATA
import pytest
from vla_cache_ros.evaluation.verify import limit
from vla_cache_ros.evaluation.verify import run_verify
from vla_cache_ros.evaluation.verify import verify_golden
from vla_cache_ros.vla.files.errors import CheckpointError
from vla_cache_ros.vla.images import ImagePreprocessor
from vla_cache_ros.vla.images import resize

GOLDENS = DATA / 'goldens'
OPENVLA = ('traj0', 'traj1', 'traj2', 'traj3', 'noise', 'nonsquare')
OFT = ('l1_step0', 'l1_step1', 'l1_step2', 'l1_1img_noproprio', 'discrete_2img')


@pytest.fixture(scope='module', params=['openvla', 'oft'])
def report(request):
    return verify_golden(GOLDENS / request.param)


def copy_golden(family, folder, change=None, samples=1):
    """Copy a golden folder with its first samples; `change` edits the parsed config.json."""
    shutil.copytree(GOLDENS / family, folder)
    manifest = json.loads((folder / 'manifest.json').read_text())
    manifest['samples'] = manifest['samples'][:samples]
    (folder / 'manifest.json').write_text(json.dumps(manifest))
    if change:
        config = json.loads((folder / 'config.json').read_text())
        change(config)
        (folder / 'config.json').write_text(json.dumps(config))
    return folder


def test_every_sample_agrees_with_the_reference(report):
    assert tuple(report['samples']) == (OPENVLA if report['family'] == 'openvla' else OFT)
    for name, sample in report['samples'].items():
        far = {array: gap for array, gap in sample['arrays'].items() if gap > limit(array)}
        assert far == {}, name
        assert sample['ok'] and 'unchecked' not in sample
    assert report['ok']


def test_tokens_and_actions_are_among_what_agrees(report):
    for name, sample in report['samples'].items():
        discrete = report['family'] == 'openvla' or name.startswith('discrete')
        assert {'actions', 'actions_bridge_orig'} & set(sample['arrays']), name
        assert sample['tokens_match'] is (True if discrete else None)


def test_a_wrong_rms_epsilon_is_found(tmp_path):
    def change(config):
        config['text_config']['rms_norm_eps'] = 1e-5

    assert not verify_golden(copy_golden('openvla', tmp_path / 'eps', change))['ok']


def test_unrounded_image_constants_are_found(tmp_path):
    folder = copy_golden('openvla', tmp_path / 'means')
    path = folder / 'preprocessor_config.json'
    raw = json.loads(path.read_text())
    raw['tvf_normalize_params'][0]['mean'] = [0.485, 0.456, 0.406]
    path.write_text(json.dumps(raw))
    assert not verify_golden(folder)['ok']


def test_an_unknown_variant_is_skipped_aloud_and_never_counts_as_success(tmp_path, capsys):
    folder = copy_golden('oft', tmp_path / 'film')
    manifest = json.loads((folder / 'manifest.json').read_text())
    manifest['samples'] = [{**manifest['samples'][0], 'mode': 'film'}]
    (folder / 'manifest.json').write_text(json.dumps(manifest))
    assert run_verify(folder, tmp_path / 'report.json') is False
    assert "skipped, this package does not run the 'film' variant" in capsys.readouterr().out
    assert (
        'film'
        in json.loads((tmp_path / 'report.json').read_text())['samples']['l1_step0']['skipped']
    )


def test_a_folder_without_manifest_and_a_damaged_sample_are_named(tmp_path):
    with pytest.raises(CheckpointError, match='manifest.json'):
        verify_golden(tmp_path)
    with pytest.raises(CheckpointError, match='expected a folder'):
        verify_golden(tmp_path / 'nowhere')
    folder = copy_golden('oft', tmp_path / 'cut')
    sample = folder / 'l1_step0.npz'
    sample.write_bytes(sample.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match='l1_step0.npz'):
        verify_golden(folder)


def test_preprocessing_takes_the_files_constants_and_read_only_images():
    images = ImagePreprocessor.from_pretrained(GOLDENS / 'openvla', 2)
    assert images.means[0] == (0.484375, 0.455078125, 0.40625)
    with np.load(GOLDENS / 'openvla' / 'nonsquare.npz') as sample:
        pixels = resize(sample['image'])
    pixels.flags.writeable = False
    values = images.normalize(pixels[None])
    assert tuple(values.shape) == (1, 6, 224, 224)
    assert values[0, 3, 0, 0] == pytest.approx((pixels[0, 0, 0] / 255 - 0.5) / 0.5, abs=1e-6)
