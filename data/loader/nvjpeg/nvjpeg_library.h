// The functions of nvJPEG that the decoder calls, found in the shared library at run time. Declared here, for CUDA's
// toolkit need not have nvJPEG's header; names and numbers are the library's own.
#ifndef TRIREME_DATA_LOADER_NVJPEG_NVJPEG_LIBRARY_H_
#define TRIREME_DATA_LOADER_NVJPEG_NVJPEG_LIBRARY_H_

#include <cuda_runtime_api.h>

#include <cstddef>

#include "core/base/status.h"

namespace trireme::nvjpeg {

// nvjpegStatus_t.
enum Result : int {
  kSuccess = 0,
  kNotInitialized = 1,
  kInvalidParameter = 2,
  kBadJpeg = 3,
  kJpegNotSupported = 4,
  kAllocatorFailure = 5,
  kExecutionFailed = 6,
  kArchitectureMismatch = 7,
  kInternalError = 8,
  kImplementationNotSupported = 9,
  kIncompleteBitstream = 10,
};

constexpr int kBackendHybrid = 1;           // entropy coding on the host
constexpr int kOutputInterleavedRgb = 5;    // NVJPEG_OUTPUT_RGBI
constexpr unsigned kStrictBitstream = 4;    // NVJPEG_FLAGS_BITSTREAM_STRICT: what is cut off is refused
constexpr unsigned kSmoothUpsampling = 32;  // NVJPEG_FLAGS_UPSAMPLING_WITH_INTERPOLATION: as libjpeg does

// nvjpegImage_t.
struct Planes {
  unsigned char* channel[4];
  size_t pitch[4];
};

using Handle = struct NvjpegHandle*;
using Decoder = struct NvjpegDecoder*;
using State = struct NvjpegState*;
using Stream = struct NvjpegStream*;  // a parsed JPEG
using Parameters = struct NvjpegParameters*;
using PinnedBuffer = struct NvjpegPinnedBuffer*;
using DeviceBuffer = struct NvjpegDeviceBuffer*;

// Each is nvjpeg with the member's name behind it.
struct Library {
  Result (*CreateEx)(int backend, void* device_allocator, void* pinned_allocator, unsigned flags, Handle* handle);
  Result (*Destroy)(Handle handle);
  Result (*DecoderCreate)(Handle handle, int backend, Decoder* decoder);
  Result (*DecoderDestroy)(Decoder decoder);
  // *unsupported is 0 for what it takes.
  Result (*DecoderJpegSupported)(Decoder decoder, Stream jpeg, Parameters parameters, int* unsupported);
  Result (*DecoderStateCreate)(Handle handle, Decoder decoder, State* state);
  Result (*JpegStateDestroy)(State state);
  Result (*DecodeParamsCreate)(Handle handle, Parameters* parameters);
  Result (*DecodeParamsDestroy)(Parameters parameters);
  Result (*DecodeParamsSetOutputFormat)(Parameters parameters, int format);
  Result (*BufferPinnedCreate)(Handle handle, void* allocator, PinnedBuffer* buffer);
  Result (*BufferPinnedDestroy)(PinnedBuffer buffer);
  Result (*BufferDeviceCreate)(Handle handle, void* allocator, DeviceBuffer* buffer);
  Result (*BufferDeviceDestroy)(DeviceBuffer buffer);
  Result (*StateAttachPinnedBuffer)(State state, PinnedBuffer buffer);
  Result (*StateAttachDeviceBuffer)(State state, DeviceBuffer buffer);
  Result (*JpegStreamCreate)(Handle handle, Stream* jpeg);
  Result (*JpegStreamDestroy)(Stream jpeg);
  Result (*JpegStreamParse)(Handle handle, const unsigned char* data, size_t size, int keep_metadata, int keep_stream,
                            Stream jpeg);
  Result (*JpegStreamGetFrameDimensions)(Stream jpeg, unsigned* width, unsigned* height);
  Result (*JpegStreamGetComponentsNum)(Stream jpeg, unsigned* components);
  Result (*DecodeJpegHost)(Handle handle, Decoder decoder, State state, Parameters parameters, Stream jpeg);
  Result (*DecodeJpegTransferToDevice)(Handle handle, Decoder decoder, State state, Stream jpeg, cudaStream_t stream);
  Result (*DecodeJpegDevice)(Handle handle, Decoder decoder, State state, Planes* to, cudaStream_t stream);
};

// Loaded once and for good. FailedPrecondition, saying what to do, if it is not there or lacks a function.
StatusOr<const Library*> Load();

// "NVJPEG_STATUS_BAD_JPEG".
const char* NameOf(Result result);

}  // namespace trireme::nvjpeg

#endif  // TRIREME_DATA_LOADER_NVJPEG_NVJPEG_LIBRARY_H_
