"""What a run is configured by: the schema, its YAML form, and how layers of settings combine."""

from nint_cli.config.engine_settings import EngineConfig
from nint_cli.config.layers import Layer, Origins, Resolved, flag_layer, resolve
from nint_cli.config.presets import preset_layer, preset_names
from nint_cli.config.removed import metrics_of_today, removed_keys, without_removed
from nint_cli.config.sampler_settings import NintConfig
from nint_cli.config.schema import (
    FIELD_NAMES,
    MODALITY_NAMES,
    SAMPLER_NAMES,
    BatchConfig,
    MetricsConfig,
    OptimiserConfig,
    RunConfig,
    dotted_keys,
)
from nint_cli.config.yaml_text import file_layer, parse_yaml, set_layer

__all__ = [
    "FIELD_NAMES",
    "MODALITY_NAMES",
    "SAMPLER_NAMES",
    "BatchConfig",
    "EngineConfig",
    "Layer",
    "MetricsConfig",
    "NintConfig",
    "OptimiserConfig",
    "Origins",
    "Resolved",
    "RunConfig",
    "dotted_keys",
    "file_layer",
    "flag_layer",
    "metrics_of_today",
    "parse_yaml",
    "preset_layer",
    "preset_names",
    "removed_keys",
    "resolve",
    "set_layer",
    "without_removed",
]
