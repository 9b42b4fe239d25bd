#include "models/yolo/cells.h"

namespace trireme {
namespace {

float CellSize(float image, int64_t count, int stride) {
  const float cells = std::ceil(image / static_cast<float>(stride));
  return cells == static_cast<float>(count) ? static_cast<float>(stride) : image / static_cast<float>(count);
}

}  // namespace

std::vector<YoloCell> MakeYoloCells(const std::vector<YoloMap>& maps, const YoloExtent& image) {
  std::vector<YoloCell> cells;
  int first = 0;
  for (const YoloMap& map : maps) {
    for (int64_t place = 0; place < map.rows * map.columns; ++place) {
      for (size_t a = 0; a < map.anchors.size(); ++a) {
        YoloCell cell;
        cell.column = static_cast<float>(place % map.columns);
        cell.row = static_cast<float>(place / map.columns);
        cell.columns = static_cast<float>(map.columns);
        cell.rows = static_cast<float>(map.rows);
        cell.width = CellSize(image.width, map.columns, map.stride);
        cell.height = CellSize(image.height, map.rows, map.stride);
        cell.anchor_width = map.anchors[a].width;
        cell.anchor_height = map.anchors[a].height;
        cell.anchor = static_cast<float>(first + static_cast<int>(a));
        cells.push_back(cell);
      }
    }
    first += static_cast<int>(map.anchors.size());
  }
  return cells;
}

}  // namespace trireme
