# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The model and the engine reproduce what the reference implementation wrote down."""

import json
import shutil

import numpy as np
from paths import DATA
import pytest
from vla_cache_ros.evaluation import verify
from vla_cache_ros.evaluation.verify import compare
from vla_cache_ros.evaluation.verify import limit
from vla_cache_ros.evaluation.verify import run_verify
from vla_cache_ros.evaluation.verify import verify_golden
from vla_cache_ros.vla.files.errors import CheckpointError
from vla_cache_ros.vla.image_path import ImagePath
from vla_cache_ros.vla.images import ImagePreprocessor

GOLDENS = DATA / 'goldens'
OPENVLA = ('traj0', 'traj1', 'traj2', 'traj3', 'noise', 'nonsquare')
OFT = ('l1_step0', 'l1_step1', 'l1_step2', 'l1_1img_noproprio', 'discrete_2img', 'film_l1')
FLOWS = ('smolvla', 'pi0', 'pi05')
SAMPLES = {
    'openvla': OPENVLA,
    'openvla-oft': OFT,
    **dict.fromkeys(FLOWS, ('step0', 'step1', 'other_instruction', 'rtc')),
}


@pytest.fixture(scope='module')
def reports():
    """Return the report of each family, and the names of all arrays computed for it."""
    found = {}
    for family in ('openvla', 'oft', *FLOWS):
        known = set()

        def spy(wanted, computed, *tolerance, known=known):
            known.update(wanted if tolerance else computed)
            return compare(wanted, computed, *tolerance)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(verify, 'compare', spy)
            found[family] = verify_golden(GOLDENS / family), known
    return found


@pytest.fixture(params=['openvla', 'oft', *FLOWS])
def report(request, reports):
    return reports[request.param][0]


def compared(report):
    """Return the names of all arrays that some sample holds."""
    return {name for sample in report['samples'].values() for name in sample['arrays']}


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
    assert tuple(report['samples']) == SAMPLES[report['family']]
    relative = 2e-5 if report['family'] in FLOWS else None
    assert report['tolerance'] == (relative or 5e-5)
    for name, sample in report['samples'].items():
        far = {k: gap for k, gap in sample['arrays'].items() if gap > limit(k, relative)}
        assert far == {}, name
        assert sample['ok'] and 'unchecked' not in sample
    assert report['ok']


def test_tokens_and_actions_are_among_what_agrees(report):
    for name, sample in report['samples'].items():
        discrete = report['family'] in ('openvla', *FLOWS) or name.startswith('discrete')
        assert {'actions', 'actions_bridge_orig'} & set(sample['arrays']), name
        assert sample['tokens_match'] is (True if discrete else None)


def test_every_array_that_can_be_compared_is_compared(reports):
    for report, known in reports.values():
        assert compared(report) == known
    named = {*verify.TOKENS, *verify.WIDER}
    assert named <= set().union(*(compared(report) for report, _ in reports.values()))


@pytest.mark.parametrize('family', FLOWS)
def test_of_a_flow_model_all_but_inputs_and_indices_is_compared(family, reports):
    inputs = {'state', 'noise', 'prev_chunk_left_over', 'prefix_layers'}
    for name, sample in reports[family][0]['samples'].items():
        with np.load(GOLDENS / family / f'{name}.npz') as arrays:
            outputs = set(arrays.files)
        outputs -= inputs | {'image_front', 'image_base', 'image_wrist'}
        assert set(sample['arrays']) == outputs
        assert {'prefix_keys', 'velocities', 'x_t', 'actions', 'prefix_pad_masks'} <= set(
            sample['arrays']
        )


@pytest.mark.parametrize(
    ('family', 'change', 'array'),
    [
        ('pi0', {'min_period': 0.005}, 'suffix_embs_first'),
        ('pi05', {'max_period': 4.1}, 'adarms_cond_first'),
        ('smolvla', {'num_steps': 11}, 'velocities'),
        ('pi05', {'input_features': 'turned'}, 'pixel_values_every_4th'),
        ('pi0', {'vla_cache_ros': {'vision_heads': 4}}, 'tower_every_4th'),
    ],
)
def test_what_is_read_otherwise_is_found(family, change, array, tmp_path):
    def edit(config):
        features = dict(reversed(config['input_features'].items()))
        config |= change | ({'input_features': features} if 'input_features' in change else {})

    report = verify_golden(copy_golden(family, tmp_path / 'changed', edit))
    assert report['ok'] is False and report['samples']['step0']['arrays'][array] > 2e-4


def test_a_flow_sample_without_an_input_is_named(tmp_path):
    folder = copy_golden('pi0', tmp_path / 'cut')
    with np.load(folder / 'step0.npz') as arrays:
        kept = {name: arrays[name] for name in arrays.files if name != 'image_wrist'}
    np.savez(folder / 'step0.npz', **kept)
    with pytest.raises(CheckpointError, match=r"step0.npz: expected \['image_wrist'\], found"):
        verify_golden(folder)
    manifest = json.loads((folder / 'manifest.json').read_text())
    del manifest['samples'][0]['instruction']
    (folder / 'manifest.json').write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match=r"'image_wrist', 'instruction'\]"):
        verify_golden(folder)


def test_a_flow_report_says_that_differences_are_relative(tmp_path, capsys):
    assert run_verify(copy_golden('pi0', tmp_path / 'pi0'), tmp_path / 'report.json') is True
    assert 'pi0: all within 2e-05 (of the largest value)' in capsys.readouterr().out
    report = json.loads((tmp_path / 'report.json').read_text())
    assert (report['family'], report['tolerance'], report['wider']) == ('pi0', 2e-5, {})


def test_a_difference_counts_by_the_largest_value_of_its_array():
    wanted = {'large': np.array([0.0, 100.0]), 'zero': np.zeros(2)}
    found = {'large': np.array([0.001, 100.0]), 'zero': np.full(2, 3e-5)}
    result = compare(wanted, found, 2e-5)
    assert result['arrays'] == {'large': pytest.approx(1e-5), 'zero': pytest.approx(3e-5)}
    assert result['ok'] is False and compare(wanted, {'large': found['large']}, 2e-5)['ok']


def test_another_shape_and_what_is_not_finite_are_too_far():
    wanted = {name: np.zeros((2, 3)) for name in ('kept', 'longer', 'invalid', 'strange')}
    invalid = np.array([[0.0, np.nan, 0.0]] * 2)
    result = compare(
        wanted, {'kept': np.zeros((2, 3)), 'longer': np.zeros((1, 2, 3)), 'invalid': invalid}
    )
    assert result['arrays'] == {'kept': 0.0, 'longer': np.inf, 'invalid': np.inf}
    assert not result['ok'] and result['unchecked'] == ['strange']


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
    folder = copy_golden('oft', tmp_path / 'diffusion')
    manifest = json.loads((folder / 'manifest.json').read_text())
    manifest['samples'] = [{**manifest['samples'][0], 'mode': 'diffusion'}]
    (folder / 'manifest.json').write_text(json.dumps(manifest))
    assert run_verify(folder, tmp_path / 'report.json') is False
    assert "skipped, this package does not run the 'diffusion' variant" in capsys.readouterr().out
    assert (
        'diffusion'
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
        pixels = ImagePath()(sample['image'])
    pixels.flags.writeable = False
    values = images.normalize(pixels[None])
    assert tuple(values.shape) == (1, 6, 224, 224)
    assert values[0, 3, 0, 0] == pytest.approx((pixels[0, 0, 0] / 255 - 0.5) / 0.5, abs=1e-6)
