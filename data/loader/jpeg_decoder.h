// JpegDecoder: JPEGs that are decoded in two halves, the first by threads of the host, the second by the device.
//
// What is between the halves lies in an Image, which is used again and again: DecodeOnHost by any one thread,
// DecodeOnDevice by any one, and not again before the device has come to its end. The decoder outlives its images and
// its stream's work. NewImage and DecodeOnHost may be called at the same time for several images, DecodeOnDevice not.
//
// Faults: DecodeOnHost returns a status for a JPEG that is damaged or of a kind that the decoder does not take; all
// else is a DeviceError.
#ifndef TRIREME_DATA_LOADER_JPEG_DECODER_H_
#define TRIREME_DATA_LOADER_JPEG_DECODER_H_

#include <memory>
#include <string>

#include "core/api/sample.h"
#include "core/device/device.h"

namespace trireme {

class JpegDecoder {
 public:
  class Image {
   public:
    virtual ~Image() = default;
  };

  virtual ~JpegDecoder() = default;
  // For messages: "nvJPEG".
  virtual std::string name() const = 0;
  virtual std::unique_ptr<Image> NewImage() = 0;
  virtual Status DecodeOnHost(const std::shared_ptr<const EncodedImage>& encoded, Image* image) = 0;
  // Enqueues it: interleaved RGB, height rows of 3 * width bytes at `to`, which is the device's.
  virtual void DecodeOnDevice(Image* image, uint8_t* to, Stream& stream) = 0;
};

}  // namespace trireme

#endif  // TRIREME_DATA_LOADER_JPEG_DECODER_H_
