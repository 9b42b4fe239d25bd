#include "data/loader/nvjpeg/nvjpeg_library.h"

#include <dlfcn.h>

#include <string>

#include "absl/strings/str_cat.h"

namespace trireme::nvjpeg {
namespace {

StatusOr<const Library*> LoadOnce() {
  const std::string file = absl::StrCat("libnvjpeg.so.", CUDART_VERSION / 1000);
  void* const opened = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (opened == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat("NVJPEG needs ", file, " (", dlerror(),
                                                      "); install it (pip's nvidia-nvjpeg holds it) and name its ",
                                                      "folder in LD_LIBRARY_PATH, or say `loader { decode: CPU }`"));
  }
  auto* const library = new Library;
  std::string missing;
  const auto find = [&](const char* name, auto* function) {
    *function = reinterpret_cast<std::remove_reference_t<decltype(*function)>>(dlsym(opened, name));
    if (*function == nullptr) absl::StrAppend(&missing, missing.empty() ? "" : ", ", name);
  };
  find("nvjpegCreateEx", &library->CreateEx);
  find("nvjpegDestroy", &library->Destroy);
  find("nvjpegDecoderCreate", &library->DecoderCreate);
  find("nvjpegDecoderDestroy", &library->DecoderDestroy);
  find("nvjpegDecoderJpegSupported", &library->DecoderJpegSupported);
  find("nvjpegDecoderStateCreate", &library->DecoderStateCreate);
  find("nvjpegJpegStateDestroy", &library->JpegStateDestroy);
  find("nvjpegDecodeParamsCreate", &library->DecodeParamsCreate);
  find("nvjpegDecodeParamsDestroy", &library->DecodeParamsDestroy);
  find("nvjpegDecodeParamsSetOutputFormat", &library->DecodeParamsSetOutputFormat);
  find("nvjpegBufferPinnedCreate", &library->BufferPinnedCreate);
  find("nvjpegBufferPinnedDestroy", &library->BufferPinnedDestroy);
  find("nvjpegBufferDeviceCreate", &library->BufferDeviceCreate);
  find("nvjpegBufferDeviceDestroy", &library->BufferDeviceDestroy);
  find("nvjpegStateAttachPinnedBuffer", &library->StateAttachPinnedBuffer);
  find("nvjpegStateAttachDeviceBuffer", &library->StateAttachDeviceBuffer);
  find("nvjpegJpegStreamCreate", &library->JpegStreamCreate);
  find("nvjpegJpegStreamDestroy", &library->JpegStreamDestroy);
  find("nvjpegJpegStreamParse", &library->JpegStreamParse);
  find("nvjpegJpegStreamGetFrameDimensions", &library->JpegStreamGetFrameDimensions);
  find("nvjpegJpegStreamGetComponentsNum", &library->JpegStreamGetComponentsNum);
  find("nvjpegDecodeJpegHost", &library->DecodeJpegHost);
  find("nvjpegDecodeJpegTransferToDevice", &library->DecodeJpegTransferToDevice);
  find("nvjpegDecodeJpegDevice", &library->DecodeJpegDevice);
  if (missing.empty()) return library;
  return absl::FailedPreconditionError(absl::StrCat("NVJPEG needs a ", file, " that has ", missing,
                                                    "; install that of CUDA ", CUDART_VERSION / 1000,
                                                    ", or say `loader { decode: CPU }`"));
}

}  // namespace

StatusOr<const Library*> Load() {
  static const auto* const loaded = new StatusOr<const Library*>(LoadOnce());
  return *loaded;
}

const char* NameOf(Result result) {
  switch (result) {
    case kSuccess:
      return "NVJPEG_STATUS_SUCCESS";
    case kNotInitialized:
      return "NVJPEG_STATUS_NOT_INITIALIZED";
    case kInvalidParameter:
      return "NVJPEG_STATUS_INVALID_PARAMETER";
    case kBadJpeg:
      return "NVJPEG_STATUS_BAD_JPEG";
    case kJpegNotSupported:
      return "NVJPEG_STATUS_JPEG_NOT_SUPPORTED";
    case kAllocatorFailure:
      return "NVJPEG_STATUS_ALLOCATOR_FAILURE";
    case kExecutionFailed:
      return "NVJPEG_STATUS_EXECUTION_FAILED";
    case kArchitectureMismatch:
      return "NVJPEG_STATUS_ARCH_MISMATCH";
    case kInternalError:
      return "NVJPEG_STATUS_INTERNAL_ERROR";
    case kImplementationNotSupported:
      return "NVJPEG_STATUS_IMPLEMENTATION_NOT_SUPPORTED";
    case kIncompleteBitstream:
      return "NVJPEG_STATUS_INCOMPLETE_BITSTREAM";
  }
  return "an unknown status of nvJPEG";
}

}  // namespace trireme::nvjpeg
