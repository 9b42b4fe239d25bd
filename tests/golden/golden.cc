#include "tests/golden/golden.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/base/hash.h"
#include "core/base/random.h"

namespace trireme {
namespace {

constexpr uint64_t kSeed = 20261129;
constexpr int kProjections = 8;
constexpr char kWeights[] = "weights/", kValues[] = "values/";

Random RandomOf(RandomUse use, const std::string& name) { return Random(kSeed, use, StableHash(name)); }

NamedArray MakeWeights(const std::string& name, const std::vector<float>& spread) {
  NamedArray array;
  array.name = name;
  for (size_t d = 2; d < spread.size(); ++d) array.shape.Append(static_cast<int64_t>(spread[d]));
  array.values.resize(static_cast<size_t>(array.shape.size()));
  Random random = RandomOf(RandomUse::kInitialisation, name);
  const double offset = spread[0], scale = spread[1];
  for (float& value : array.values) {
    const double uniform = static_cast<double>(random.NextUint32() >> 8) / (1 << 23) - 1;
    value = static_cast<float>(offset + scale * uniform);
  }
  return array;
}

// The first so many pictures.
std::vector<uint8_t> MakePictures(int64_t count, int64_t height, int64_t width) {
  const int64_t rows = (height + 15) / 16, columns = (width + 15) / 16;
  Random squares = RandomOf(RandomUse::kSynthesis, "squares"), noise = RandomOf(RandomUse::kSynthesis, "noise");
  std::vector<uint32_t> square(static_cast<size_t>(count * rows * columns * 3));
  for (uint32_t& value : square) value = squares.NextUint32() >> 25;
  std::vector<uint8_t> pixels;
  for (int64_t n = 0; n < count; ++n) {
    for (int64_t y = 0; y < height; ++y) {
      for (int64_t x = 0; x < width; ++x) {
        for (int64_t c = 0; c < 3; ++c) {
          const uint32_t coarse = square[static_cast<size_t>(((n * rows + y / 16) * columns + x / 16) * 3 + c)];
          pixels.push_back(static_cast<uint8_t>(coarse + (noise.NextUint32() >> 25)));
        }
      }
    }
  }
  return pixels;
}

}  // namespace

Golden::Golden(const std::string& name) {
  auto content = ReadSafetensors(absl::StrCat("tests/golden/data/", name, ".safetensors"));
  CHECK(content.ok()) << content.status();
  for (NamedArray& array : content->arrays) {
    const std::string key = array.name;
    arrays_[key] = std::move(array);
  }
  darknet_order_ = absl::StrSplit(content->metadata["darknet_order"], ' ', absl::SkipEmpty());
}

const std::vector<float>& Golden::Values(const std::string& name) const {
  const auto found = arrays_.find(name);
  CHECK(found != arrays_.end()) << "the golden has no " << name;
  return found->second.values;
}

std::vector<std::string> Golden::NamesUnder(const std::string& prefix) const {
  std::vector<std::string> names;
  for (const auto& [name, array] : arrays_) {
    if (absl::StartsWith(name, prefix)) names.push_back(name.substr(prefix.size()));
  }
  return names;
}

NamedArray Golden::WeightsNamed(const std::string& name) const {
  NamedArray array = MakeWeights(name, Values(kWeights + name));
  if (!Has(kValues + name)) return array;
  CHECK_EQ(Values(kValues + name).size(), array.values.size()) << name;
  array.values = Values(kValues + name);
  return array;
}

SafetensorsContent Golden::Weights() const {
  SafetensorsContent content;
  for (const std::string& name : NamesUnder(kWeights)) {
    content.arrays.push_back(WeightsNamed(name));
  }
  return content;
}

DarknetFile Golden::DarknetWeights() const {
  DarknetFile file;
  for (const std::string& name : darknet_order_) {
    const NamedArray array = WeightsNamed(name);
    file.values.insert(file.values.end(), array.values.begin(), array.values.end());
  }
  return file;
}

std::vector<uint8_t> Golden::MakeImages(int64_t count, int64_t height, int64_t width) const {
  if (!Has("pictures")) return MakePictures(count, height, width);
  const std::vector<float>& numbers = Values("pictures");
  const auto last = static_cast<int64_t>(*std::max_element(numbers.begin(), numbers.end()));
  const std::vector<uint8_t> pictures = MakePictures(last + 1, height, width);
  const int64_t size = height * width * 3;
  std::vector<uint8_t> pixels;
  for (const float number : numbers) {
    const auto begin = pictures.begin() + static_cast<int64_t>(number) * size;
    pixels.insert(pixels.end(), begin, begin + size);
  }
  return pixels;
}

Batch Golden::MakeBatch(Device& device) const {
  const std::vector<float>& extents = Values("images");
  const int64_t count = num_images();
  const auto height = static_cast<int64_t>(extents[1]), width = static_cast<int64_t>(extents[2]);
  constexpr int64_t kColumns = 5;
  int64_t places = 0;
  for (int64_t n = 0; n < count; ++n) {
    places = std::max(places, static_cast<int64_t>(Values(absl::StrCat("objects/", n)).size()) / kColumns);
  }
  std::vector<float> boxes(static_cast<size_t>(count * places * 4), 0.0f);
  std::vector<int32_t> labels(static_cast<size_t>(count * places), -1);
  std::vector<int64_t> keys;
  for (int64_t n = 0; n < count; ++n) {
    const std::vector<float>& objects = Values(absl::StrCat("objects/", n));
    for (int64_t g = 0; g < static_cast<int64_t>(objects.size()) / kColumns; ++g) {
      const float* object = objects.data() + g * kColumns;
      std::copy(object, object + 4, boxes.begin() + (n * places + g) * 4);
      labels[static_cast<size_t>(n * places + g)] = static_cast<int32_t>(object[4]);
    }
    keys.push_back(RandomKey(0, n));
  }
  Batch batch;
  batch.images = Tensor::From(device, {count, height, width, 3}, MakeImages(count, height, width));
  batch.boxes = Tensor::From(device, {count, places, 4}, boxes);
  batch.labels = Tensor::From(device, {count, places}, labels);
  batch.random_keys = Tensor::From(device, {count}, keys);
  return batch;
}

int64_t SizeOfDigest(const std::vector<float>& digest) { return static_cast<int64_t>(digest[0]); }

double DistanceFrom(const std::vector<float>& digest, const std::string& name, const std::vector<float>& values,
                    double least_norm) {
  const auto size = static_cast<int64_t>(values.size());
  CHECK_EQ(size, SizeOfDigest(digest)) << name;
  Random random = RandomOf(RandomUse::kSampling, name);
  double products[kProjections] = {};
  uint32_t signs = 0;
  for (int64_t i = 0; i < size; ++i) {
    signs = i % 4 == 0 ? random.NextUint32() : signs >> 8;
    const double value = values[static_cast<size_t>(i)];
    for (int k = 0; k < kProjections; ++k) products[k] += signs >> k & 1 ? value : -value;
  }
  double square = 0;
  for (int k = 0; k < kProjections; ++k) {
    const double apart = products[k] - digest[static_cast<size_t>(2 + k)];
    square += apart * apart / kProjections;
  }
  // And of the elements that are kept as they are, which may tell more.
  const int64_t kept = static_cast<int64_t>(digest.size()) - 2 - kProjections;
  double kept_square = 0, kept_norm = 0;
  for (int64_t k = 0; k < kept; ++k) {
    const double wanted = digest[static_cast<size_t>(2 + kProjections + k)];
    const double apart = values[static_cast<size_t>(k * size / kept)] - wanted;
    kept_square += apart * apart;
    kept_norm += wanted * wanted;
  }
  // The few that are kept may be of a channel that is off: their unit is their part of the whole tensor.
  const double norm = std::max<double>(digest[1], least_norm);
  const double norm_of_kept =
      std::max(std::sqrt(kept_norm), norm * std::sqrt(static_cast<double>(kept) / static_cast<double>(size)));
  const auto relative = [](double apart_square, double unit) {
    return unit > 0 ? std::sqrt(apart_square) / unit : std::sqrt(apart_square);
  };
  return std::max(relative(square, norm), relative(kept_square, norm_of_kept));
}

}  // namespace trireme
