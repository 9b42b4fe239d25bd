// JPEGs that a device decodes: the loader with a decoder that stands in for the device's, and NVIDIA's own where it is.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <set>

#include "data/image/codec.h"
#include "data/loader/cached_dataset.h"
#include "data/loader/loader.h"
#include "data/loader/nvjpeg/nvjpeg_decoder.h"
#include "data/transforms/transforms.h"
#include "tests/core/testing/async_device.h"

namespace trireme {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// Smooth, as pictures are.
Image Picture(int index) {
  Image image(9 + index * 37 % 90, 7 + index * 53 % 70);
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      uint8_t* const pixel = image.pixel(x, y);
      for (int c = 0; c < 3; ++c) pixel[c] = static_cast<uint8_t>(20 + (x + y * (c + 1) + 11 * index) % 200);
    }
  }
  return image;
}

// Files of pictures: JPEGs, and every fifth a PNG. Of those in `cut_off` the end is missing.
class FilesDataset : public Dataset {
 public:
  FilesDataset(int64_t size, std::set<int64_t> cut_off) {
    for (int index = 0; index < size; ++index) {
      files_.push_back(index % 5 == 4 ? EncodePng(Picture(index)) : EncodeJpeg(Picture(index), 85));
      if (cut_off.count(index) > 0) files_.back().resize(files_.back().size() * 2 / 3);
    }
  }
  int64_t size() const override { return static_cast<int64_t>(files_.size()); }
  const std::vector<std::string>& class_names() const override { return class_names_; }
  int max_objects() const override { return 1; }
  Status Get(int64_t index, Sample* sample) const override {
    Describe(index, sample);
    TRIREME_ASSIGN_OR_RETURN(Image image, DecodeImage(files_[index], sample->name));
    sample->SetImage(std::move(image));
    return absl::OkStatus();
  }
  Status GetEncoded(int64_t index, Sample* sample) const override {
    Describe(index, sample);
    return SetEncodedImage(files_[index], sample);
  }

 private:
  void Describe(int64_t index, Sample* sample) const {
    sample->name = absl::StrCat("file", index);
    sample->id = index;
    sample->objects.push_back({{1, 1, 6, 6}, static_cast<int>(index) % 2, false});
  }
  std::vector<std::string> files_;
  const std::vector<std::string> class_names_ = {"a", "b"};
};

// Decodes on the host, into page-locked memory, and copies in the order of the stream. What has been decoded must not
// be overwritten before it was copied, or pixels are others.
class StandInDecoder : public JpegDecoder {
 public:
  explicit StandInDecoder(Device& device) : device_(device) {}
  std::string name() const override { return "stand-in"; }
  std::unique_ptr<JpegDecoder::Image> NewImage() override { return std::make_unique<Decoded>(); }
  Status DecodeOnHost(const std::shared_ptr<const EncodedImage>& encoded, JpegDecoder::Image* image) override {
    if (encoded->width % 4 == 3) return absl::UnimplementedError("a width like this");
    TRIREME_ASSIGN_OR_RETURN(const trireme::Image pixels, DecodeImage(encoded->jpeg, "jpeg"));
    auto& decoded = *static_cast<Decoded*>(image);
    decoded.bytes = pixels.data.size();
    if (decoded.room < decoded.bytes) decoded.memory = device_.NewHostBuffer(decoded.room = 2 * decoded.bytes);
    std::memcpy(decoded.memory.get(), pixels.data.data(), decoded.bytes);
    return absl::OkStatus();
  }
  void DecodeOnDevice(JpegDecoder::Image* image, uint8_t* to, Stream& stream) override {
    const auto& decoded = *static_cast<const Decoded*>(image);
    device_.Copy(to, decoded.memory.get(), decoded.bytes, stream);
  }

 private:
  struct Decoded : public JpegDecoder::Image {
    std::shared_ptr<void> memory;
    size_t bytes = 0, room = 0;
  };
  Device& device_;
};

// Looks at pixels.
class Inverting : public Transform {
 public:
  void Apply(Sample* sample, Random* random) const override {
    if (random->Below(3) != 0) return;
    Image image = sample->Materialise();
    for (uint8_t& value : image.data) value = static_cast<uint8_t>(255 - value);
    sample->SetImage(std::move(image));
  }
};

class DeviceDecodeTest : public ::testing::Test {
 protected:
  DeviceDecodeTest() {
    options_.global_batch_size = 4;
    options_.image.height = 24;
    options_.image.width = 32;
    made_.push_back(*MakeExpand({}, {}));
    made_.push_back(*MakeMinIouCrop({}, {}));
    made_.push_back(*MakeFlip({}, {}));
    for (const auto& transform : made_) transforms_.push_back(transform.get());
  }

  // Pixels and ids of `steps` batches.
  StatusOr<std::vector<uint8_t>> Load(const Dataset& dataset, Device& device, JpegDecoder* decoder, int64_t steps) {
    std::vector<uint8_t> all;
    TRIREME_RETURN_IF_ERROR(CatchDeviceError([&]() -> Status {
      device.BindToThisThread();
      LoaderOptions options = options_;
      options.decoder = decoder;
      Loader loader(&dataset, transforms_, &faults_, &device, options);
      Batch batch;
      std::vector<Tensor> kept;  // nobody waits for a batch before the next is under way
      for (int64_t step = 0; step < steps; ++step) {
        TRIREME_RETURN_IF_ERROR(loader.Next(step, &batch));
        kept.push_back(Tensor::Empty(device, batch.images.shape(), DataType::kUint8));
        kept.back().CopyFrom(batch.images, device.compute_stream());
        for (const int64_t id : batch.image_ids) all.push_back(static_cast<uint8_t>(id));
      }
      for (const Tensor& images : kept) {
        const std::vector<uint8_t> pixels = images.ToVector<uint8_t>();
        all.insert(all.end(), pixels.begin(), pixels.end());
      }
      return absl::OkStatus();
    }));
    return all;
  }

  std::vector<uint8_t> LoadOnCpu(const Dataset& dataset, int64_t steps) {
    return Load(dataset, *MakeDevice("cpu", 1).value(), nullptr, steps).value();
  }

  LoaderOptions options_;
  FaultLog faults_;
  std::vector<std::unique_ptr<Transform>> made_;
  std::vector<const Transform*> transforms_;
};

TEST_F(DeviceDecodeTest, GivesTheBatchesOfTheCpu) {
  const FilesDataset files(23, {3, 11, 14});
  const Inverting inverting;
  for (const bool pixels : {false, true}) {
    if (pixels) transforms_.insert(transforms_.begin() + 1, &inverting);
    const std::vector<uint8_t> expected = LoadOnCpu(files, 12);
    for (int prefetch = 1; prefetch <= 3; ++prefetch) {
      for (uint64_t seed = 0; seed < 8; ++seed) {
        options_.prefetch = prefetch;
        options_.threads = 1 + static_cast<int>(seed % 3);
        testing::AsyncDeviceOptions of_device;
        of_device.seed = seed;
        const auto device = testing::MakeAsyncDevice(of_device);
        StandInDecoder decoder(*device);
        const auto loaded = Load(files, *device, &decoder, 12);
        ASSERT_TRUE(loaded.ok()) << loaded.status();
        ASSERT_TRUE(*loaded == expected) << "prefetch " << prefetch << ", seed " << seed;
      }
    }
  }
  EXPECT_GT(faults_.counts()["image does not decode"], 0);
  EXPECT_GT(faults_.counts()["stand-in does not take an image"], 0);
}

TEST_F(DeviceDecodeTest, KeepsTheFilesInTheCache) {
  const FilesDataset files(10, {});
  int64_t decoded_bytes = 0;
  for (int index = 0; index < 10; ++index) decoded_bytes += static_cast<int64_t>(Picture(index).data.size());
  const CachedDataset cached(std::make_unique<FilesDataset>(10, std::set<int64_t>()), 1 << 20);
  const auto device = testing::MakeAsyncDevice({});
  StandInDecoder decoder(*device);
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(Load(cached, *device, &decoder, 5).value(), LoadOnCpu(files, 5));
  }
  EXPECT_EQ(cached.cached_images(), 10);
  EXPECT_LT(cached.cached_bytes(), decoded_bytes * 3 / 4);
}

TEST_F(DeviceDecodeTest, ADeviceThatVanishesEndsInAStatus) {
  const FilesDataset files(12, {});
  testing::AsyncDeviceOptions of_device;
  int64_t calls = 0;
  for (of_device.fails_at = 0; of_device.fails_at <= calls; of_device.fails_at += 3) {
    const auto device = testing::MakeAsyncDevice(of_device);
    StandInDecoder decoder(*device);
    const auto loaded = Load(files, *device, &decoder, 4);
    if (of_device.fails_at == 0) {
      ASSERT_TRUE(loaded.ok()) << loaded.status();
      calls = device->calls();
    } else if (!loaded.ok()) {
      EXPECT_THAT(std::string(loaded.status().message()), HasSubstr(testing::kGone));
    }
  }
  EXPECT_GT(calls, 60);
}

TEST(NvjpegTest, NeedsAGpu) {
  const auto decoder = MakeNvjpegDecoder(*MakeDevice("cpu", 1).value());
  EXPECT_EQ(decoder.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(decoder.status().message()),
              AllOf(HasSubstr("NVJPEG needs a GPU"), HasSubstr("`loader { decode: CPU }`")));
}

// Within what the two decoders' arithmetic leaves open.
TEST_F(DeviceDecodeTest, NvjpegOnGpuGivesThePixelsOfTheCpu) {
  const auto device = MakeDevice("cuda", 1);
  if (!device.ok()) GTEST_SKIP() << device.status().message();
  (*device)->BindToThisThread();
  const auto decoder = MakeNvjpegDecoder(**device);
  if (!decoder.ok()) GTEST_SKIP() << decoder.status().message();
  const FilesDataset files(23, {3, 11, 14});
  options_.threads = 3;
  const std::vector<uint8_t> expected = LoadOnCpu(files, 12);
  const auto loaded = Load(files, **device, decoder->get(), 12);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  ASSERT_EQ(loaded->size(), expected.size());
  int64_t sum = 0, largest = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const int64_t difference = std::abs(static_cast<int>((*loaded)[i]) - static_cast<int>(expected[i]));
    sum += difference;
    largest = std::max(largest, difference);
  }
  RecordProperty("largest_difference", static_cast<int>(largest));
  EXPECT_LT(static_cast<double>(sum) / static_cast<double>(expected.size()), 1.0);
  EXPECT_LT(largest, 40);
  EXPECT_EQ(faults_.counts()["nvJPEG does not take an image"], 0);
}

}  // namespace
}  // namespace trireme
