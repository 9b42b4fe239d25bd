#include "data/shapes/shapes.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_join.h"
#include "core/base/random.h"
#include "core/base/registry.h"
#include "data/shapes/canvas.h"
#include "data/shapes/shape.h"

namespace trireme {
namespace {

struct Placed {
  ShapeKind kind = ShapeKind::kCircle;
  int label = 0;
  float x = 0, y = 0, radius = 0;
  float angle = 0;
  float aspect = 1;  // stretched by this along its own x axis, and shrunk as much along y
};

// What a shape covers: half-covered pixels count.
struct Extent {
  int x1 = 1 << 30, y1 = 1 << 30, x2 = 0, y2 = 0;  // x2, y2 exclusive
  int64_t pixels = 0;                              // within the image, seen or hidden
};

// Paints `shape` and writes `index` to `owner` where it covers more than half of a pixel.
Extent Paint(const Placed& shape, const Texture& texture, int index, Canvas* canvas, std::vector<int>* owner) {
  Extent extent;
  const float reach = shape.radius * std::max(shape.aspect, 1 / shape.aspect) + 1;
  const int left = std::max(0, static_cast<int>(shape.x - reach));
  const int right = std::min(canvas->width(), static_cast<int>(shape.x + reach) + 1);
  const int top = std::max(0, static_cast<int>(shape.y - reach));
  const int bottom = std::min(canvas->height(), static_cast<int>(shape.y + reach) + 1);
  const float cosine = std::cos(shape.angle), sine = std::sin(shape.angle);
  for (int y = top; y < bottom; ++y) {
    const float dy = (static_cast<float>(y) + 0.5f - shape.y) / shape.radius;
    for (int x = left; x < right; ++x) {
      const float dx = (static_cast<float>(x) + 0.5f - shape.x) / shape.radius;
      const float u = (dx * cosine + dy * sine) / shape.aspect, v = (dy * cosine - dx * sine) * shape.aspect;
      if (u * u + v * v > 1.3f) continue;
      const float distance = ShapeDistance(shape.kind, u, v);
      const float cover = std::min(std::max(0.5f - distance * shape.radius, 0.0f), 1.0f);
      if (cover <= 0) continue;
      FloatColour& pixel = canvas->at(x, y);
      pixel = Mix(pixel, texture.ColourAt(u, v, distance), cover);
      if (cover < 0.5f) continue;
      (*owner)[static_cast<size_t>(y) * canvas->width() + x] = index;
      extent.x1 = std::min(extent.x1, x);
      extent.y1 = std::min(extent.y1, y);
      extent.x2 = std::max(extent.x2, x + 1);
      extent.y2 = std::max(extent.y2, y + 1);
      ++extent.pixels;
    }
  }
  return extent;
}

class ShapesDataset : public Dataset {
 public:
  ShapesDataset(const ShapesDatasetConfig& config, std::vector<std::string> class_names, std::vector<ShapeKind> kinds)
      : config_(config), class_names_(std::move(class_names)), kinds_(std::move(kinds)) {}

  int64_t size() const override { return config_.num_images(); }
  const std::vector<std::string>& class_names() const override { return class_names_; }
  int max_objects() const override { return config_.max_objects(); }

  Status Get(int64_t index, Sample* sample) const override {
    Random random(config_.seed(), RandomUse::kSynthesis, static_cast<uint64_t>(index));
    Canvas canvas(config_.width(), config_.height());
    canvas.PaintBackground(config_.clutter(), &random);

    const std::vector<Placed> shapes = Place(&random);
    std::vector<int> owner(static_cast<size_t>(canvas.width()) * canvas.height(), -1);
    std::vector<Extent> extents;
    for (const Placed& shape : shapes) {
      const FloatColour ground = canvas.MeanAround(shape.x, shape.y, 0.9f * shape.radius);
      const Texture texture = Texture::Draw(ground, &random);
      extents.push_back(Paint(shape, texture, static_cast<int>(extents.size()), &canvas, &owner));
    }
    std::vector<int64_t> visible(shapes.size());
    for (const int i : owner) {
      if (i >= 0) ++visible[i];
    }

    sample->objects.clear();
    for (size_t i = 0; i < shapes.size(); ++i) {
      if (extents[i].pixels == 0) continue;
      const float share = static_cast<float>(visible[i]) / static_cast<float>(extents[i].pixels);
      if (share < config_.omitted_below()) continue;
      Object object;
      object.box = {static_cast<float>(extents[i].x1), static_cast<float>(extents[i].y1),
                    static_cast<float>(extents[i].x2), static_cast<float>(extents[i].y2)};
      object.label = shapes[i].label;
      object.difficult = share < config_.difficult_below();
      sample->objects.push_back(object);
    }
    sample->SetImage(canvas.ToImage(std::min(config_.clutter(), 1.0f) * random.Uniform(1, 9), &random));
    sample->id = index;
    sample->name = absl::StrCat("shapes/", config_.seed(), "/", index);
    return absl::OkStatus();
  }

 private:
  // From back to front. Every shape has most of itself inside the image.
  std::vector<Placed> Place(Random* random) const {
    const float width = static_cast<float>(config_.width()), height = static_cast<float>(config_.height());
    const int wanted =
        config_.min_objects() +
        static_cast<int>(random->Below(static_cast<uint32_t>(config_.max_objects() - config_.min_objects() + 1)));
    std::vector<Placed> placed;
    for (int attempt = 0; attempt < 20 * wanted && static_cast<int>(placed.size()) < wanted; ++attempt) {
      Placed shape;
      shape.label = static_cast<int>(random->Below(static_cast<uint32_t>(kinds_.size())));
      shape.kind = kinds_[shape.label];
      shape.radius = 0.5f * std::min(width, height) * random->Uniform(config_.min_size(), config_.max_size());
      // Up to a fifth of the diameter lies beyond the border.
      const float inset_x = std::min(0.6f * shape.radius, 0.5f * width);
      const float inset_y = std::min(0.6f * shape.radius, 0.5f * height);
      shape.x = random->Uniform(inset_x, width - inset_x);
      shape.y = random->Uniform(inset_y, height - inset_y);
      shape.angle = random->Uniform(0, 6.2831853f);
      shape.aspect = random->Uniform(0.88f, 1.12f);
      // Near enough to hide a part of one another, too far to hide the most in the common case.
      const bool crowded = std::any_of(placed.begin(), placed.end(), [&](const Placed& other) {
        return std::hypot(shape.x - other.x, shape.y - other.y) < 0.52f * (shape.radius + other.radius);
      });
      if (!crowded) placed.push_back(shape);
    }
    return placed;
  }

  const ShapesDatasetConfig config_;
  const std::vector<std::string> class_names_;
  const std::vector<ShapeKind> kinds_;
};

}  // namespace

StatusOr<std::unique_ptr<Dataset>> MakeShapes(const ShapesDatasetConfig& config, const Dataset::BuildArgs&) {
  const auto refuse = [](const auto&... what) { return absl::InvalidArgumentError(absl::StrCat(what...)); };
  // Orders of all images are kept in memory.
  constexpr int64_t kMostImages = int64_t{1} << 26;
  if (config.num_images() < 1 || config.num_images() > kMostImages) {
    return refuse("num_images is ", config.num_images(), "; it lies in 1..", kMostImages);
  }
  constexpr int kSmallest = 16, kLargest = 4096;
  for (const int side : {config.width(), config.height()}) {
    if (side < kSmallest || side > kLargest) {
      return refuse("width and height lie in ", kSmallest, "..", kLargest, ", not at ", side);
    }
  }
  constexpr int kMostObjects = 1000;
  if (config.min_objects() < 0 || config.max_objects() < 1 || config.max_objects() > kMostObjects ||
      config.min_objects() > config.max_objects()) {
    return refuse("min_objects: ", config.min_objects(), " and max_objects: ", config.max_objects(),
                  " are no range; 0 <= min_objects <= max_objects, and 1 <= max_objects <= ", kMostObjects);
  }
  if (!(config.min_size() > 0 && config.min_size() <= config.max_size() && config.max_size() <= 1)) {
    return refuse("min_size: ", config.min_size(), " and max_size: ", config.max_size(),
                  " are no range; 0 < min_size <= max_size <= 1");
  }
  if (!(config.clutter() >= 0 && config.clutter() <= 10))
    return refuse("clutter lies in 0..10, not at ", config.clutter());

  const std::vector<std::string>& known = ShapeNames();
  std::vector<std::string> names(config.class_names().begin(), config.class_names().end());
  if (names.empty()) names = known;
  std::vector<ShapeKind> kinds;
  for (const std::string& name : names) {
    const auto found = std::find(known.begin(), known.end(), name);
    if (found == known.end())
      return refuse("class_names: no shape is a ", name, "; there are ", absl::StrJoin(known, ", "));
    const auto kind = static_cast<ShapeKind>(found - known.begin());
    if (std::find(kinds.begin(), kinds.end(), kind) != kinds.end())
      return refuse("class_names: ", name, " is there twice");
    kinds.push_back(kind);
  }
  return std::unique_ptr<Dataset>(std::make_unique<ShapesDataset>(config, std::move(names), std::move(kinds)));
}

TRIREME_REGISTER_COMPONENT("dataset/shapes", Dataset, ShapesDatasetConfig, MakeShapes);

}  // namespace trireme
