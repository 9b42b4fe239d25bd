"""What this machine has: the GPU and its driver, CUDA's libraries, PyTorch.

Nothing here needs a package. CUDA's libraries may lie where ldconfig looks, under CUDA_HOME, or where pip installs
them (site-packages/nvidia/*/lib); the first complete home of each library is taken.
"""

import ctypes
import glob
import json
import lzma
import os
import pathlib
import shutil
import site
import subprocess
import sys
import sysconfig

# What the programs are linked with, and the pip package that brings it.
LIBRARIES = {
    "libcudart.so.13": "nvidia-cuda-runtime",
    "libcublas.so.13": "nvidia-cublas",
    "libcublasLt.so.13": "nvidia-cublas",
    "libcudnn.so.9": "nvidia-cudnn-cu13",
    "libnccl.so.2": "nvidia-nccl-cu13",
}
# cuDNN 9 compiles some of its engines when it needs them, and pictures may be decoded on the GPU; nothing is linked
# with these.
OPTIONAL_LIBRARIES = ["libnvrtc.so.13", "libnvjpeg.so.13"]


def _folder_of_loaded(name):
    """Where a library lies that this process has loaded."""
    with open("/proc/self/maps") as maps:
        for line in maps:
            path = line.split(maxsplit=5)[-1].strip()
            if os.path.basename(path).startswith(name):
                return os.path.dirname(path)
    return None


class Gpu:
    """The first GPU, or in `absence` why there is none."""

    def __init__(self):
        self.absence = None
        self.name = None
        self.capability = None
        self.memory_bytes = 0
        self.driver_cuda = None  # (major, minor) of the CUDA that the driver serves
        self.driver_folder = None
        try:
            driver = ctypes.CDLL("libcuda.so.1")
        except OSError:
            self.absence = "no NVIDIA driver"
            return
        self.driver_folder = _folder_of_loaded("libcuda.so")
        version = ctypes.c_int()
        if driver.cuDriverGetVersion(ctypes.byref(version)) == 0:
            self.driver_cuda = (version.value // 1000, version.value % 1000 // 10)
        error = driver.cuInit(0)
        count = ctypes.c_int()
        if error == 0:
            error = driver.cuDeviceGetCount(ctypes.byref(count))
        if error != 0 or count.value == 0:
            self.absence = f"no GPU: the driver answers with error {error}" if error else "no GPU"
            return
        device = ctypes.c_int()
        driver.cuDeviceGet(ctypes.byref(device), 0)
        name = ctypes.create_string_buffer(256)
        driver.cuDeviceGetName(name, 256, device)
        self.name = name.value.decode()
        parts = []
        for attribute in (75, 76):  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR
            value = ctypes.c_int()
            driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
            parts.append(value.value)
        self.capability = tuple(parts)
        memory = ctypes.c_size_t()
        driver.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
        self.memory_bytes = memory.value


def _site_packages():
    folders = list(site.getsitepackages()) + [site.getusersitepackages(), sysconfig.get_paths()["purelib"]]
    folders += [folder for folder in sys.path if folder.endswith("-packages")]
    return list(dict.fromkeys(folders))


def _library_folders():
    """Where CUDA's libraries may be, the best place first."""
    folders = []
    for home in (os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH")):
        if home:
            folders += [f"{home}/lib64", f"{home}/lib"]
    for packages in _site_packages():
        folders += sorted(glob.glob(f"{packages}/nvidia/*/lib"))
    folders += [folder for folder in os.environ.get("LD_LIBRARY_PATH", "").split(":") if folder]
    folders += ["/usr/local/cuda/lib64", "/usr/local/cuda/lib"]
    folders += sorted(glob.glob("/usr/local/cuda-*/lib64"), reverse=True)
    return list(dict.fromkeys(folders))


def _ldconfig():
    """soname: path, of what the loader finds by itself."""
    known = {}
    program = shutil.which("ldconfig") or "/sbin/ldconfig"
    try:
        listing = subprocess.run([program, "-p"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    except OSError:
        return known
    for line in listing.splitlines():
        name, _, path = line.partition(" => ")
        if path and "x86-64" in name:
            known.setdefault(name.split()[0], path.strip())
    return known


def _version(library, path):
    """For people; None where the library does not say."""
    try:
        handle = ctypes.CDLL(path)
        value = ctypes.c_int()
        if library.startswith("libcudart"):
            handle.cudaRuntimeGetVersion(ctypes.byref(value))
            return f"{value.value // 1000}.{value.value % 1000 // 10}"
        if library.startswith("libcudnn"):
            handle.cudnnGetVersion.restype = ctypes.c_size_t
            number = handle.cudnnGetVersion()
            return f"{number // 10000}.{number % 10000 // 100}.{number % 100}"
        if library.startswith("libnccl"):
            handle.ncclGetVersion(ctypes.byref(value))
            return f"{value.value // 10000}.{value.value % 10000 // 100}.{value.value % 100}"
        if library.startswith("libcublasLt"):
            handle.cublasLtGetVersion.restype = ctypes.c_size_t
            number = handle.cublasLtGetVersion()
            return f"{number // 10000}.{number % 10000 // 100}.{number % 100}"
    except (OSError, AttributeError):
        pass
    return None


class Machine:
    """Finds everything once; `environment` is what the packed programs run with."""

    def __init__(self, pack, scratch):
        self.gpu = Gpu()
        self.libraries = {}  # name: {"path", "version"}
        folders, known = _library_folders(), _ldconfig()
        for library in list(LIBRARIES) + OPTIONAL_LIBRARIES:
            path = next((f"{f}/{library}" for f in folders if os.path.exists(f"{f}/{library}")), known.get(library))
            if path:
                self.libraries[library] = {"path": path}
        own = self._unpack(pathlib.Path(pack) / "lib", pathlib.Path(scratch) / "lib")
        order = [own] + [os.path.dirname(entry["path"]) for entry in self.libraries.values()]
        if self._lacks_standard_library(known):
            order.insert(1, f"{pack}/lib/fallback")
        # Whoever set the path did so for the driver, perhaps.
        self.inherited_library_path = os.environ.get("LD_LIBRARY_PATH", "")
        order += [folder for folder in self.inherited_library_path.split(":") if folder]
        if self.gpu.driver_folder:
            order.append(self.gpu.driver_folder)
        self.environment = dict(os.environ)
        self.environment["LD_LIBRARY_PATH"] = ":".join(dict.fromkeys(order))
        self.environment.setdefault("OMP_WAIT_POLICY", "passive")
        self._ask_versions()
        self.sanitizer = self._find_sanitizer()
        self._torch = None

    @staticmethod
    def _unpack(packed, unpacked):
        """The large libraries travel compressed."""
        unpacked.mkdir(parents=True, exist_ok=True)
        for path in sorted(packed.glob("*.so*")):
            target = unpacked / (path.name[:-3] if path.suffix == ".xz" else path.name)
            if path.suffix == ".xz":
                with lzma.open(path) as source, open(target, "wb") as out:
                    shutil.copyfileobj(source, out)
            else:
                shutil.copyfile(path, target)
        return str(unpacked)

    @staticmethod
    def _lacks_standard_library(known):
        """Whether libstdc++ is missing or older than GCC 12's, which the programs were compiled with."""
        path = known.get("libstdc++.so.6")
        try:
            return path is None or b"GLIBCXX_3.4.30" not in pathlib.Path(path).read_bytes()
        except OSError:
            return True

    def _ask_versions(self):
        """In a process of its own: what a library does while it is loaded stays there."""
        script = ("import json, sys; sys.path.insert(0, sys.argv[1]); import machine; "
                  "print(json.dumps({n: machine._version(n, p) for n, p in json.loads(sys.argv[2]).items()}))")
        paths = {name: entry["path"] for name, entry in self.libraries.items()}
        try:
            answer = subprocess.run([sys.executable, "-B", "-c", script, os.path.dirname(__file__), json.dumps(paths)],
                                    env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                    timeout=30)
            versions = json.loads(answer.stdout)
        except (subprocess.TimeoutExpired, ValueError):
            versions = {}
        for name, entry in self.libraries.items():
            entry["version"] = versions.get(name)

    @staticmethod
    def _find_sanitizer():
        homes = [os.environ.get("CUDA_HOME"), "/usr/local/cuda"] + sorted(glob.glob("/usr/local/cuda-*"), reverse=True)
        for home in filter(None, homes):
            for place in ("bin/compute-sanitizer", "compute-sanitizer/compute-sanitizer"):
                if os.access(f"{home}/{place}", os.X_OK):
                    return f"{home}/{place}"
        return shutil.which("compute-sanitizer")

    def missing_libraries(self):
        return [name for name in LIBRARIES if name not in self.libraries]

    def torch(self):
        """{"torch", "torchvision", "cuda"} of the interpreter that runs this; empty without them."""
        if self._torch is None:
            script = ("import json, torch, torchvision; print(json.dumps({'torch': torch.__version__, "
                      "'torchvision': torchvision.__version__, 'cuda': torch.cuda.is_available()}))")
            try:
                answer = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True, timeout=90)
                self._torch = json.loads(answer.stdout.strip().splitlines()[-1])
            except (subprocess.TimeoutExpired, ValueError, IndexError):
                self._torch = {}
        return self._torch

    def describe(self):
        gpu = self.gpu
        lines = [f"GPU         {gpu.name}, compute capability {gpu.capability[0]}.{gpu.capability[1]}, "
                 f"{gpu.memory_bytes / 2**30:.0f} GiB" if gpu.name else f"GPU         none: {gpu.absence}"]
        if gpu.driver_cuda:
            lines.append(f"driver      serves CUDA {gpu.driver_cuda[0]}.{gpu.driver_cuda[1]}")
        for name in list(LIBRARIES) + OPTIONAL_LIBRARIES:
            entry = self.libraries.get(name)
            if entry:
                lines.append(f"{name:<18}{entry['version'] or '':<10} {entry['path']}")
            elif name in LIBRARIES:
                lines.append(f"{name:<18}not found; pip's package {LIBRARIES[name]} has it")
        torch = self.torch()
        lines.append("PyTorch     " + (f"{torch['torch']}, torchvision {torch['torchvision']}, "
                                       f"{'with' if torch['cuda'] else 'without'} CUDA" if torch else "none"))
        lines.append(f"sanitizer   {self.sanitizer or 'none: no compute-sanitizer'}")
        return "\n".join(lines)

    def as_json(self):
        gpu = self.gpu
        return {"gpu": gpu.name, "absence": gpu.absence, "capability": gpu.capability, "memory": gpu.memory_bytes,
                "driver_cuda": gpu.driver_cuda, "libraries": self.libraries, "torch": self.torch(),
                "sanitizer": self.sanitizer, "cores": os.cpu_count()}
