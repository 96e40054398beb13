"""The Python API leaves the process of its caller as it found it."""

import subprocess
import sys

# What others may have set, each as a value that can be compared.
SCRIPT = """
import decimal, locale, logging, os, random, signal, sys, threading, warnings
import matplotlib, numpy, PIL.Image, PIL.ImageFile, torch, trimesh
import nint_cli.device.cpu

nint_cli.device.cpu.keep_freed_memory = None  # cannot be undone, so it must not be called

def levels():
    loggers = logging.root.manager.loggerDict
    return {name: each.level for name, each in loggers.items() if hasattr(each, "level")}

def snapshot():
    umask = os.umask(0)
    os.umask(umask)
    matmul = torch.backends.cuda.matmul
    return {
        "threads": torch.get_num_threads(),
        "interop threads": torch.get_num_interop_threads(),
        "tf32": (matmul.fp32_precision, matmul.allow_tf32, torch.backends.cudnn.allow_tf32,
                 torch.get_float32_matmul_precision()),
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "gradients": (torch.is_grad_enabled(), torch.is_inference_mode_enabled(),
                      torch.is_anomaly_enabled()),
        "algorithms": (torch.are_deterministic_algorithms_enabled(),
                       torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
        "torch numbers": torch.get_rng_state().tolist(),
        "numpy numbers": [part.tolist() if hasattr(part, "tolist") else part
                          for part in numpy.random.get_state()],
        "numbers": random.getstate(),
        "numpy errors": numpy.geterr(),
        "numpy printing": numpy.get_printoptions(),
        "torch printing": vars(torch._tensor_str.PRINT_OPTS),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "umask": umask,
        "warnings": list(warnings.filters),
        "showwarning": warnings.showwarning,
        "signals": {each: signal.getsignal(each) for each in signal.valid_signals()},
        "mask": signal.pthread_sigmask(signal.SIG_BLOCK, []),
        "hooks": (sys.excepthook, sys.unraisablehook, threading.excepthook, sys.displayhook),
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "recursion": sys.getrecursionlimit(),
        "path": list(sys.path),
        "argv": list(sys.argv),
        "locale": locale.setlocale(locale.LC_ALL),
        "decimals": str(decimal.getcontext()),
        "backend": matplotlib.get_backend(),
        "rcParams": {key: str(value) for key, value in dict(matplotlib.rcParams).items()},
        "pixels": PIL.Image.MAX_IMAGE_PIXELS,
        "truncated": PIL.ImageFile.LOAD_TRUNCATED_IMAGES,
        "root logger": (logging.root.level, list(logging.root.handlers), logging.root.disabled),
        "levels": levels(),
        "threads alive": threading.active_count(),
    }

def compare(before, after, what):
    for key, value in before.items():
        found = after[key]
        if key == "levels":  # of loggers that came with a library there was no one to ask
            found = {name: found[name] for name in value}
        assert found == value, f"{what} changed {key}: {value!r} to {found!r}"

torch.set_num_threads(2)
matplotlib.use("svg")
torch.set_float32_matmul_precision("medium")
FAST = {"engine.threads": 1, "steps": 3}
SHAPE = {"sdf.points": 500, "sdf.mc_resolution": 16, "sdf.iou_resolution": 16,
         "sdf.watch_resolution": 8, "sdf.surface_samples": 100}

def broken():
    from nint_cli.runs.control import Control
    try:
        nint_cli.fit("sample:cat", preset="smoke", output="failed", settings=FAST | {
            "engine.threads": 3}, control=Control(note=fail))
    except ZeroDivisionError:
        return
    raise AssertionError("it did not fail")

def fail(_):
    assert torch.get_num_threads() == 3
    1 / 0

for what, call in {
    "import": lambda: __import__("nint_cli.api"),
    "a picture": lambda: nint_cli.fit("sample:cat", preset="smoke", output="picture",
                                      settings=FAST | {"image.size": 16}),
    "a sound": lambda: nint_cli.fit("sample:chirp", modality="audio", preset="smoke",
                                    output="sound", settings=FAST | {"audio.duration_s": 0.05}),
    "a shape": lambda: nint_cli.fit("sample:torus", modality="sdf", preset="smoke",
                                    output="shape", settings=FAST | SHAPE),
    "resume": lambda: nint_cli.resume("picture", steps=5),
    "reconstruction": lambda: [nint_cli.load_run(each).reconstruction()
                               for each in ("picture", "sound", "shape")],
    "a failure": broken,
}.items():
    before = snapshot()
    call()
    compare(before, snapshot(), what)
"""


def test_nothing_of_the_process_is_changed(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
