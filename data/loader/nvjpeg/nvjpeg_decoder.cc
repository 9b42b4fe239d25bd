#include "data/loader/nvjpeg/nvjpeg_decoder.h"

#include "absl/strings/str_cat.h"

#ifdef TRIREME_CUDA

#include <mutex>

#include "core/device/cuda/cuda_error.h"
#include "data/loader/nvjpeg/nvjpeg_library.h"

namespace trireme {
namespace {

using nvjpeg::Library;
using nvjpeg::Result;

void Check(Result result, absl::string_view doing) {
  if (result == nvjpeg::kSuccess) return;
  CheckForCudaFault(doing);
  const Status status = absl::InternalError(absl::StrCat(doing, " failed: ", nvjpeg::NameOf(result)));
  throw DeviceError(
      result == nvjpeg::kAllocatorFailure
          ? absl::ResourceExhaustedError(
                absl::StrCat(status.message(), "; nvJPEG has no more memory: lower the batch size or loader.prefetch, ",
                             "or say `loader { decode: CPU }`"))
          : status);
}

// What is said of the image, not of the device; OK if it is neither.
Status Refusal(Result result) {
  switch (result) {
    case nvjpeg::kBadJpeg:
    case nvjpeg::kIncompleteBitstream:
      return absl::InvalidArgumentError(nvjpeg::NameOf(result));
    case nvjpeg::kJpegNotSupported:
    case nvjpeg::kImplementationNotSupported:
      return absl::UnimplementedError(nvjpeg::NameOf(result));
    default:
      return absl::OkStatus();
  }
}

class NvjpegImage : public JpegDecoder::Image {
 public:
  explicit NvjpegImage(const Library& library) : library_(library) {}
  ~NvjpegImage() override {
    if (jpeg != nullptr) library_.JpegStreamDestroy(jpeg);
    if (state != nullptr) library_.JpegStateDestroy(state);
    if (pinned != nullptr) library_.BufferPinnedDestroy(pinned);
  }

  nvjpeg::State state = nullptr;
  nvjpeg::PinnedBuffer pinned = nullptr;
  nvjpeg::Stream jpeg = nullptr;
  std::shared_ptr<const EncodedImage> encoded;  // `jpeg` refers to it

 private:
  const Library& library_;
};

class NvjpegDecoder : public JpegDecoder {
 public:
  // Throws DeviceError.
  explicit NvjpegDecoder(const Library& library) : library_(library) {
    try {
      Check(library_.CreateEx(nvjpeg::kBackendHybrid, nullptr, nullptr,
                              nvjpeg::kStrictBitstream | nvjpeg::kSmoothUpsampling, &handle_),
            "starting nvJPEG");
      Check(library_.DecoderCreate(handle_, nvjpeg::kBackendHybrid, &decoder_), "starting nvJPEG's decoder");
      Check(library_.DecodeParamsCreate(handle_, &parameters_), "starting nvJPEG's decoder");
      Check(library_.DecodeParamsSetOutputFormat(parameters_, nvjpeg::kOutputInterleavedRgb), "asking nvJPEG for RGB");
      Check(library_.BufferDeviceCreate(handle_, nullptr, &on_device_), "making nvJPEG's buffer");
    } catch (...) {
      End();
      throw;
    }
  }
  ~NvjpegDecoder() override { End(); }

  std::string name() const override { return "nvJPEG"; }

  std::unique_ptr<Image> NewImage() override {
    std::lock_guard<std::mutex> lock(mutex_);
    auto image = std::make_unique<NvjpegImage>(library_);
    constexpr char kDoing[] = "making room for an image of nvJPEG's";
    Check(library_.DecoderStateCreate(handle_, decoder_, &image->state), kDoing);
    Check(library_.BufferPinnedCreate(handle_, nullptr, &image->pinned), kDoing);
    Check(library_.JpegStreamCreate(handle_, &image->jpeg), kDoing);
    Check(library_.StateAttachPinnedBuffer(image->state, image->pinned), kDoing);
    // One for all: the device's halves follow one another on one stream.
    Check(library_.StateAttachDeviceBuffer(image->state, on_device_), kDoing);
    return image;
  }

  Status DecodeOnHost(const std::shared_ptr<const EncodedImage>& encoded, Image* image) override {
    NvjpegImage& mine = *static_cast<NvjpegImage*>(image);
    mine.encoded = encoded;
    const auto* bytes = reinterpret_cast<const unsigned char*>(encoded->jpeg.data());
    unsigned width = 0, height = 0, components = 0;
    int unsupported = 0;
    TRIREME_RETURN_IF_ERROR(Taken(library_.JpegStreamParse(handle_, bytes, encoded->jpeg.size(), 0, 0, mine.jpeg)));
    TRIREME_RETURN_IF_ERROR(Taken(library_.JpegStreamGetFrameDimensions(mine.jpeg, &width, &height)));
    TRIREME_RETURN_IF_ERROR(Taken(library_.JpegStreamGetComponentsNum(mine.jpeg, &components)));
    // What is written must be what there is room for.
    if (static_cast<int64_t>(width) != encoded->width || static_cast<int64_t>(height) != encoded->height) {
      return absl::InvalidArgumentError(
          absl::StrCat("it sees ", width, " x ", height, " pixels, not ", encoded->width, " x ", encoded->height));
    }
    if (components != 1 && components != 3) return absl::UnimplementedError(absl::StrCat(components, " components"));
    TRIREME_RETURN_IF_ERROR(Taken(library_.DecoderJpegSupported(decoder_, mine.jpeg, parameters_, &unsupported)));
    if (unsupported != 0) return absl::UnimplementedError("a kind of JPEG that its hybrid decoder does not take");
    return Taken(library_.DecodeJpegHost(handle_, decoder_, mine.state, parameters_, mine.jpeg));
  }

  void DecodeOnDevice(Image* image, uint8_t* to, Stream& stream) override {
    NvjpegImage& mine = *static_cast<NvjpegImage*>(image);
    const auto native = static_cast<cudaStream_t>(stream.native());
    nvjpeg::Planes planes = {};
    planes.channel[0] = to;
    planes.pitch[0] = 3 * static_cast<size_t>(mine.encoded->width);
    Check(library_.DecodeJpegTransferToDevice(handle_, decoder_, mine.state, mine.jpeg, native),
          "copying a JPEG to the device");
    Check(library_.DecodeJpegDevice(handle_, decoder_, mine.state, &planes, native), "decoding a JPEG on the device");
  }

 private:
  static Status Taken(Result result) {
    Status refusal = Refusal(result);
    if (refusal.ok()) Check(result, "decoding a JPEG on the host");
    return refusal;
  }
  void End() {
    if (on_device_ != nullptr) library_.BufferDeviceDestroy(on_device_);
    if (parameters_ != nullptr) library_.DecodeParamsDestroy(parameters_);
    if (decoder_ != nullptr) library_.DecoderDestroy(decoder_);
    if (handle_ != nullptr) library_.Destroy(handle_);
  }

  const Library& library_;
  std::mutex mutex_;  // of what makes and attaches
  nvjpeg::Handle handle_ = nullptr;
  nvjpeg::Decoder decoder_ = nullptr;
  nvjpeg::Parameters parameters_ = nullptr;
  nvjpeg::DeviceBuffer on_device_ = nullptr;
};

}  // namespace

StatusOr<std::unique_ptr<JpegDecoder>> MakeNvjpegDecoder(Device& device) {
  if (device.kind() != DeviceKind::kCuda) {
    return absl::FailedPreconditionError(absl::StrCat("NVJPEG needs a GPU, and this worker computes on ", device.name(),
                                                      "; say --device=cuda, or `loader { decode: CPU }`"));
  }
  TRIREME_ASSIGN_OR_RETURN(const Library* library, nvjpeg::Load());
  std::unique_ptr<JpegDecoder> decoder;
  TRIREME_RETURN_IF_ERROR(CatchDeviceError([&] {
    decoder = std::make_unique<NvjpegDecoder>(*library);
    return absl::OkStatus();
  }));
  return decoder;
}

}  // namespace trireme

#else  // !TRIREME_CUDA

namespace trireme {

StatusOr<std::unique_ptr<JpegDecoder>> MakeNvjpegDecoder(Device&) {
  return absl::FailedPreconditionError(
      "NVJPEG needs a GPU and a build with CUDA; build with --config=cuda, or say `loader { decode: CPU }`");
}

}  // namespace trireme

#endif  // TRIREME_CUDA
