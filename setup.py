"""Compiles the CPU engine while the package is built. Without a compiler the package still works, through PyTorch."""

import importlib.util
import tempfile
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py

NATIVE = Path(__file__).parent / "src" / "duologue" / "native"


class BuildWithKernels(build_py):
    """Copies the Python files, then puts the compiled library beside them."""

    def run(self) -> None:
        super().run()
        spec = importlib.util.spec_from_file_location("duologue_native_build", NATIVE / "build.py")
        builder = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(builder)
        target = NATIVE if self.editable_mode else Path(self.build_lib) / "duologue" / "native"
        with tempfile.TemporaryDirectory() as scratch:
            try:
                builder.build(target, scratch=Path(scratch))
            except RuntimeError as error:
                self.warn(f"The CPU engine was not compiled: {error}")


class PlatformDistribution(Distribution):
    """A wheel with compiled code belongs to one platform."""

    def has_ext_modules(self) -> bool:
        return True


setup(cmdclass={"build_py": BuildWithKernels}, distclass=PlatformDistribution)
