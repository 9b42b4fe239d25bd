#include "models/roi/roi_align.h"

#include <cmath>

#include "core/device/parallel_for.h"
#include "core/tensor/tiles.h"
#include "models/roi/roi_table.h"

namespace trireme {
namespace {

struct RoiTable {
  Tensor headers;  // RoiHeader [N R]
  Tensor taps;     // BinTaps [N R, 2, size]: along y, then along x

  const RoiHeader* header() const { return reinterpret_cast<const RoiHeader*>(headers.raw()); }
  const BinTaps* tap() const { return reinterpret_cast<const BinTaps*>(taps.raw()); }
};

RoiTable MakeTable(const RoiMapsView& maps, const Tensor& boxes, const RoiAlignOptions& options, Stream& stream) {
  const int64_t rois = boxes.size() / 4;
  const int size = options.size, sampling = options.sampling;
  RoiTable table;
  table.headers = Tensor::Empty(stream.device(), {rois, static_cast<int64_t>(sizeof(RoiHeader))}, DataType::kUint8);
  table.taps =
      Tensor::Empty(stream.device(), {rois, 2 * size * static_cast<int64_t>(sizeof(BinTaps))}, DataType::kUint8);
  const Box* box = reinterpret_cast<const Box*>(boxes.data<float>());
  RoiHeader* headers = reinterpret_cast<RoiHeader*>(table.headers.raw());
  BinTaps* taps = reinterpret_cast<BinTaps*>(table.taps.raw());
  ParallelFor(
      stream, rois,
      [=] TRIREME_HD(int64_t i) {
        RoiHeader header{maps.MapOf(box[i]), 0, -1};
        if (header.map >= 0) {
          BinTaps* rows = taps + i * 2 * size;
          const float scale = maps.scale[header.map];
          FillTaps(box[i].y1, box[i].y2, scale, maps.height[header.map], size, sampling, rows);
          FillTaps(box[i].x1, box[i].x2, scale, maps.width[header.map], size, sampling, rows + size);
          for (int b = 0; b < size; ++b) {
            if (rows[b].count == 0) continue;
            if (header.last_row < header.first_row) header.first_row = rows[b].place[0];
            header.last_row = rows[b].place[rows[b].count - 1];
          }
        }
        headers[i] = header;
      },
      /*grain=*/64);
  return table;
}

template <class T>
struct Forward {
  using Element = T;
  const T* map[kMostRoiMaps];
  RoiMapsView maps;
  const RoiHeader* header;
  const BinTaps* taps;
  T* out;
  int64_t rois_per_image, channels;
  int size;

  bool IsAligned() const {
    bool aligned = AreAligned(out);
    for (int m = 0; m < maps.count; ++m) aligned = aligned && AreAligned(map[m]);
    return aligned;
  }

  // A row is a bin of a box.
  template <int kLanes>
  TRIREME_HD void Tile(int64_t row, int64_t c) const {
    const Division by_size(row, size), by_box(by_size.quotient, size);
    const int64_t roi = by_box.quotient;
    const int32_t m = header[roi].map;
    float sum[kLanes];
    for (int l = 0; l < kLanes; ++l) sum[l] = 0;
    if (m >= 0) {
      const BinTaps& rows = taps[roi * 2 * size + by_box.rest];
      const BinTaps& columns = taps[(roi * 2 + 1) * size + by_size.rest];
      const int64_t image = Division(roi, rois_per_image).quotient;
      for (int ty = 0; ty < rows.count; ++ty) {
        const int64_t first = (image * maps.height[m] + rows.place[ty]) * maps.width[m];
        for (int tx = 0; tx < columns.count; ++tx) {
          const float weight = rows.weight[ty] * columns.weight[tx];
          const auto value = Load<kLanes>(map[m] + (first + columns.place[tx]) * channels + c);
          for (int l = 0; l < kLanes; ++l) sum[l] += weight * value[l];
        }
      }
    }
    Store<kLanes>(sum, out + row * channels + c);
  }
};

// A row is a row of one map, all of which is written here.
template <class T>
struct Backward {
  using Element = T;
  const T* gradient;  // of the result
  const RoiHeader* header;
  const BinTaps* taps;
  float* map_gradient;
  int64_t rois_per_image, channels;
  int64_t height, width;
  int32_t map;
  int size;

  bool IsAligned() const { return AreAligned(gradient, map_gradient); }

  template <int kLanes>
  TRIREME_HD void Tile(int64_t row, int64_t c) const {
    float* own = map_gradient + row * width * channels + c;
    float zero[kLanes];
    for (int l = 0; l < kLanes; ++l) zero[l] = 0;
    for (int64_t x = 0; x < width; ++x) Store<kLanes>(zero, own + x * channels);
    const Division by_height(row, height);
    const int32_t y = static_cast<int32_t>(by_height.rest);
    const int64_t first = by_height.quotient * rois_per_image;
    for (int64_t roi = first; roi < first + rois_per_image; ++roi) {
      const RoiHeader& head = header[roi];
      if (head.map != map || y < head.first_row || y > head.last_row) continue;
      for (int by = 0; by < size; ++by) {
        const float row_weight = taps[roi * 2 * size + by].WeightOf(y);
        if (row_weight == 0.0f) continue;
        for (int bx = 0; bx < size; ++bx) {
          const BinTaps& columns = taps[(roi * 2 + 1) * size + bx];
          const auto of_bin = Load<kLanes>(gradient + ((roi * size + by) * size + bx) * channels + c);
          for (int tx = 0; tx < columns.count; ++tx) {
            const float weight = row_weight * columns.weight[tx];
            float* to = own + columns.place[tx] * channels;
            const auto before = Load<kLanes>(to);
            float sum[kLanes];
            for (int l = 0; l < kLanes; ++l) sum[l] = before[l] + weight * of_bin[l];
            Store<kLanes>(sum, to);
          }
        }
      }
    }
  }
};

template <class T>
struct RoundTo {
  using Element = T;
  const float* from;
  T* to;

  bool IsAligned() const { return AreAligned(from, to); }

  template <int kLanes>
  TRIREME_HD void Tile(int64_t, int64_t i) const {
    Store<kLanes>(Load<kLanes>(from + i), to + i);
  }
};

RoiMapsView View(const std::vector<Var>& maps, const std::vector<int>& strides, const RoiAlignOptions& options) {
  RoiMapsView view{};
  view.count = static_cast<int32_t>(maps.size());
  for (size_t m = 0; m < maps.size(); ++m) {
    view.height[m] = static_cast<int32_t>(maps[m].dim(1));
    view.width[m] = static_cast<int32_t>(maps[m].dim(2));
    view.scale[m] = 1.0f / static_cast<float>(strides[m]);
    // The level is floor(canonical_level + log2(side / canonical_size) + 1e-6).
    const double level = std::round(std::log2(static_cast<double>(strides[m])));
    const double side = options.canonical_size * std::exp2(level - options.canonical_level - 1e-6);
    view.least_area[m] = static_cast<float>(side * side);
  }
  return view;
}

template <class T>
Tensor RunForward(const std::vector<Var>& maps, const RoiMapsView& view, const RoiTable& table, int64_t rois_per_image,
                  int size, Stream& stream) {
  const int64_t channels = maps[0].dim(3), rois = maps[0].dim(0) * rois_per_image;
  const Tensor out = Tensor::Empty(stream.device(), {rois, size, size, channels}, maps[0].value().type());
  Forward<T> body{{}, view, table.header(), table.tap(), out.data<T>(), rois_per_image, channels, size};
  for (size_t m = 0; m < maps.size(); ++m) body.map[m] = maps[m].value().template data<T>();
  ForTiles(stream, rois * size * size, channels, body);
  return out;
}

// What the result's gradient gives to map m.
template <class T>
Tensor RunBackward(const Var& map, int32_t m, const Tensor& gradient, const RoiTable& table, int64_t rois_per_image,
                   int size, Stream& stream) {
  const int64_t channels = map.dim(3);
  const Tensor sums = Tensor::Empty(stream.device(), map.shape());
  ForTiles(stream, map.dim(0) * map.dim(1), channels,
           Backward<T>{gradient.data<T>(), table.header(), table.tap(), sums.data<float>(), rois_per_image, channels,
                       map.dim(1), map.dim(2), m, size});
  if (map.value().type() == DataType::kFloat32) return sums;
  const Tensor rounded = Tensor::Empty(stream.device(), map.shape(), map.value().type());
  ForTiles(stream, 1, sums.size(), RoundTo<T>{sums.data<float>(), rounded.data<T>()});
  return rounded;
}

}  // namespace

Var RoiAlign(Context& context, const std::vector<Var>& maps, const std::vector<int>& strides, const Tensor& boxes,
             const RoiAlignOptions& options) {
  CHECK(!maps.empty() && maps.size() <= kMostRoiMaps && maps.size() == strides.size())
      << maps.size() << " maps, " << strides.size() << " strides";
  CHECK(options.size > 0 && options.sampling > 0 && options.sampling <= kMostRoiSampling);
  const int64_t num_images = maps[0].dim(0), rois_per_image = boxes.dim(1);
  CHECK(boxes.shape() == (Shape{num_images, rois_per_image, 4})) << boxes.shape() << " on " << maps[0].shape();
  const DataType type = maps[0].value().type();
  for (const Var& map : maps) {
    CHECK(map.dim(0) == num_images && map.dim(3) == maps[0].dim(3) && map.value().type() == type) << map.shape();
  }
  Stream& stream = context.stream();
  const RoiMapsView view = View(maps, strides, options);
  const RoiTable table = MakeTable(view, boxes, options, stream);
  const int size = options.size;
  Tensor out;
  DispatchFloating(type, [&](auto element) {
    out = RunForward<decltype(element)>(maps, view, table, rois_per_image, size, stream);
  });
  return Record(context, "roi_align", out, maps, [maps, table, rois_per_image, size, type, &stream](Tensor gradient) {
    for (size_t m = 0; m < maps.size(); ++m) {
      if (!maps[m].requires_gradient()) continue;
      DispatchFloating(type, [&](auto element) {
        maps[m].AccumulateGradient(RunBackward<decltype(element)>(maps[m], static_cast<int32_t>(m), gradient, table,
                                                                  rois_per_image, size, stream),
                                   stream);
      });
    }
  });
}

}  // namespace trireme
