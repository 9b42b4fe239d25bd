// NVIDIA's JPEG decoder: the entropy coding by the loader's threads, the rest by the GPU. It takes grey and YCbCr
// images, baseline or progressive, that are whole.
//
// Pixels are not those of libjpeg-turbo to the last bit, so a run that decodes so is not the same as one that does not;
// it is the same as itself. nvJPEG's memory comes from CUDA, not from the device's pool, and no limit counts it: page-
// locked for each image of a batch and batch made ahead, on the device once for the largest image.
//
// The library is looked for when it is asked for (libnvjpeg.so of the build's CUDA): it is part of CUDA's toolkit in
// some packages only, and a build does not depend on it.
#ifndef TRIREME_DATA_LOADER_NVJPEG_NVJPEG_DECODER_H_
#define TRIREME_DATA_LOADER_NVJPEG_NVJPEG_DECODER_H_

#include <memory>

#include "data/loader/jpeg_decoder.h"

namespace trireme {

// FailedPrecondition, saying what is missing, without CUDA in the build, on another device than a GPU, or without the
// library. The calling thread is bound to the device, which outlives the decoder.
StatusOr<std::unique_ptr<JpegDecoder>> MakeNvjpegDecoder(Device& device);

}  // namespace trireme

#endif  // TRIREME_DATA_LOADER_NVJPEG_NVJPEG_DECODER_H_
