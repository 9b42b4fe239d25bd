#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "core/base/registry.h"
#include "data/loader/first_readable.h"
#include "data/transforms/checks.h"
#include "data/transforms/show_window.h"
#include "data/transforms/transforms.h"

namespace trireme {
namespace {

constexpr int kOthers = 3;

// A part of the result, in its pixels.
struct Tile {
  int left = 0, top = 0, width = 0, height = 0;
};

// What is seen of a canvas, whose unit is a pixel of the result at scale 1, and whose middle is (0, 0).
struct View {
  View(int width, int height, float scale, float shift_x, float shift_y)
      : width(width),
        height(height),
        scale(scale),
        left(-(0.5f + shift_x) * static_cast<float>(width) / scale),
        top(-(0.5f + shift_y) * static_cast<float>(height) / scale) {}

  // The size of a sample's pixel on the canvas, where the whole of it fits into width x height.
  float FitOf(const Sample& sample) const {
    return std::min(static_cast<float>(width) / static_cast<float>(sample.width()),
                    static_cast<float>(height) / static_cast<float>(sample.height()));
  }

  int width, height;  // of the result
  float scale;        // pixels of the result for a unit
  float left, top;    // where the result begins
};

void Paste(const Image& image, int left, int top, Image* onto) {
  for (int y = 0; y < image.height; ++y) {
    std::memcpy(onto->pixel(left, top + y), image.pixel(0, y), 3 * static_cast<size_t>(image.width));
  }
}

class Mosaic : public Transform {
 public:
  Mosaic(const MosaicConfig& config, const Colour& fill, const BuildArgs& args)
      : config_(config), fill_(fill), dataset_(*args.dataset), faults_(*args.faults) {}

  int max_objects(int before) const override {
    const int64_t all = before + int64_t{kOthers} * dataset_.max_objects();
    return static_cast<int>(std::min<int64_t>(all, std::numeric_limits<int>::max()));
  }

  void Apply(Sample* sample, Random* random) const override {
    const bool taken = random->Chance(config_.probability());
    const float scale = std::exp(random->Uniform(std::log(config_.min_scale()), std::log(config_.max_scale())));
    const float shift_x = random->Uniform(-config_.max_shift(), config_.max_shift());
    const float shift_y = random->Uniform(-config_.max_shift(), config_.max_shift());
    const View view(config_.width() > 0 ? config_.width() : sample->width(),
                    config_.height() > 0 ? config_.height() : sample->height(), scale, shift_x, shift_y);
    if (taken && (config_.until_step() == 0 || sample->step < config_.until_step())) {
      ShowFour(view, random, sample);
    } else {
      ShowOne(view, sample);
    }
  }

 private:
  // An image whose corner lies at (x, y) of the canvas, as `tile` shows it.
  void ShowTile(const View& view, float x, float y, const Tile& tile, Sample* sample) const {
    const float fit = view.FitOf(*sample);
    const float unit = 1 / (view.scale * fit);  // pixels of the image for one of the result
    const float x1 = (view.left - x) / fit + unit * static_cast<float>(tile.left),
                y1 = (view.top - y) / fit + unit * static_cast<float>(tile.top);
    ShowWindow({x1, y1, x1 + unit * static_cast<float>(tile.width), y1 + unit * static_cast<float>(tile.height)},
               tile.width, tile.height, fill_, config_.min_visible(), sample);
  }

  void ShowOne(const View& view, Sample* sample) const {
    const float fit = view.FitOf(*sample);
    ShowTile(view, -0.5f * fit * static_cast<float>(sample->width()),
             -0.5f * fit * static_cast<float>(sample->height()), {0, 0, view.width, view.height}, sample);
  }

  void ShowFour(const View& view, Random* random, Sample* sample) const {
    // They meet between two pixels.
    const auto split = [random, &view](float begin, int size) {
      const float at = random->Uniform(-0.5f, 0.5f) * static_cast<float>(size);
      return std::min(std::max(static_cast<int>(std::round((at - begin) * view.scale)), 0), size);
    };
    const int column = split(view.left, view.width), row = split(view.top, view.height);
    const float x = view.left + static_cast<float>(column) / view.scale,
                y = view.top + static_cast<float>(row) / view.scale;
    std::array<Sample, 1 + kOthers> images;
    images[0] = *sample;
    for (size_t i = 1; i < images.size(); ++i) {
      const Status status = FirstReadable(dataset_, random->Below(static_cast<uint32_t>(dataset_.size())), &faults_,
                                          [&](int64_t index, Sample* image) {
                                            const Status got = dataset_.Get(index, image);
                                            if (got.ok()) images[i] = std::move(*image);
                                            return got;
                                          });
      if (!status.ok()) {
        sample->fault = status;
        return;
      }
    }

    Image mosaic(view.width, view.height);
    std::vector<Object> objects;
    for (size_t i = 0; i < images.size(); ++i) {
      Sample& image = images[i];
      const bool is_left = i % 2 == 0, is_upper = i < 2;
      const Tile tile = {is_left ? 0 : column, is_upper ? 0 : row, is_left ? column : view.width - column,
                         is_upper ? row : view.height - row};
      if (tile.width == 0 || tile.height == 0) continue;
      const float fit = view.FitOf(image);
      ShowTile(view, is_left ? x - fit * static_cast<float>(image.width()) : x,
               is_upper ? y - fit * static_cast<float>(image.height()) : y, tile, &image);
      Paste(image.Materialise(), tile.left, tile.top, &mosaic);
      sample->fault.Update(image.fault);
      const float left = static_cast<float>(tile.left), top = static_cast<float>(tile.top);
      for (Object& object : image.objects) {
        object.box = {object.box.x1 + left, object.box.y1 + top, object.box.x2 + left, object.box.y2 + top};
        objects.push_back(object);
      }
    }
    sample->SetImage(std::move(mosaic));
    sample->objects = std::move(objects);
  }

  const MosaicConfig config_;
  const Colour fill_;
  const Dataset& dataset_;
  FaultLog& faults_;
};

}  // namespace

StatusOr<std::unique_ptr<Transform>> MakeMosaic(const MosaicConfig& config, const Transform::BuildArgs& args) {
  TRIREME_RETURN_IF_ERROR(CheckRange("probability", config.probability(), 0, 1));
  TRIREME_RETURN_IF_ERROR(CheckRange("width", config.width(), 0, 16384));
  TRIREME_RETURN_IF_ERROR(CheckRange("height", config.height(), 0, 16384));
  TRIREME_RETURN_IF_ERROR(CheckRangeOf("min_scale", config.min_scale(), "max_scale", config.max_scale(), 0.01, 100));
  TRIREME_RETURN_IF_ERROR(CheckRange("max_shift", config.max_shift(), 0, 1));
  TRIREME_RETURN_IF_ERROR(CheckRange("min_visible", config.min_visible(), 0, 1));
  TRIREME_RETURN_IF_ERROR(CheckRange("until_step", static_cast<double>(config.until_step()), 0, 1e15));
  TRIREME_ASSIGN_OR_RETURN(const auto fill, FillColour(config.fill()));
  if (args.dataset == nullptr || args.faults == nullptr) {
    return absl::InvalidArgumentError("a mosaic is of images of a data set, and there is none");
  }
  return std::unique_ptr<Transform>(std::make_unique<Mosaic>(config, fill, args));
}

TRIREME_REGISTER_COMPONENT("transform/mosaic", Transform, MosaicConfig, MakeMosaic);

}  // namespace trireme
