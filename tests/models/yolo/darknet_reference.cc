#include "tests/models/yolo/darknet_reference.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace trireme {
namespace {

// In parts of the image, by its centre.
struct Relative {
  double x, y, width, height;
};

double Sigmoid(double z) { return 1 / (1 + std::exp(-z)); }

double SharedSide(double a, double a_size, double b, double b_size) {
  return std::max(0.0, std::min(a + a_size / 2, b + b_size / 2) - std::max(a - a_size / 2, b - b_size / 2));
}

double IouOf(const Relative& a, const Relative& b) {
  const double shared = SharedSide(a.x, a.width, b.x, b.width) * SharedSide(a.y, a.height, b.y, b.height);
  return shared / (a.width * a.height + b.width * b.height - shared);
}

Relative ToRelative(const Box& box, const YoloExtent& image) {
  return {(box.x1 + box.x2) / 2.0 / image.width, (box.y1 + box.y2) / 2.0 / image.height, box.width() / image.width,
          box.height() / image.height};
}

double CrossEntropy(double z, double target) {
  return -target * std::log(Sigmoid(z)) - (1 - target) * std::log(1 - Sigmoid(z));
}

}  // namespace

int64_t DarknetScene::rows() const {
  int64_t rows = 0;
  for (const YoloMap& map : maps) rows += map.rows * map.columns * static_cast<int64_t>(map.anchors.size());
  return rows;
}

DarknetResult DarknetLosses(const DarknetScene& scene) {
  const int64_t rows = scene.rows();
  const int width = 5 + scene.classes;
  DarknetResult result;
  result.slopes.assign(scene.predictions.size(), 0);
  for (int n = 0; n < scene.images; ++n) {
    std::vector<Relative> objects;
    std::vector<int> labels;
    for (int g = n * scene.objects; g < (n + 1) * scene.objects; ++g) {
      if (scene.labels[g] < 0) continue;
      objects.push_back(ToRelative(scene.boxes[g], scene.image));
      labels.push_back(scene.labels[g]);
    }
    const float* output = scene.predictions.data() + n * rows * width;
    double* slope = result.slopes.data() + n * rows * width;

    // Every prediction is background, or ignored.
    std::vector<bool> ignored(rows);
    std::vector<int> count(rows);
    std::vector<std::set<int>> classes(rows);
    std::vector<size_t> last(rows);
    int64_t first_row = 0;
    std::vector<int64_t> first_rows;
    for (size_t k = 0; k < scene.maps.size(); ++k) {
      first_rows.push_back(first_row);
      const int64_t map_height = scene.maps[k].rows, map_width = scene.maps[k].columns;
      const int64_t anchors = static_cast<int64_t>(scene.maps[k].anchors.size());
      for (int64_t r = 0; r < map_height * map_width * anchors; ++r) {
        const float* own = output + (first_row + r) * width;
        const int64_t cell = r / anchors;
        const YoloAnchor& anchor = scene.maps[k].anchors[r % anchors];
        const Relative predicted = {(static_cast<double>(cell % map_width) + Sigmoid(own[0])) / map_width,
                                    (static_cast<double>(cell / map_width) + Sigmoid(own[1])) / map_height,
                                    std::exp(own[2]) * anchor.width / scene.image.width,
                                    std::exp(own[3]) * anchor.height / scene.image.height};
        for (const Relative& object : objects) {
          if (IouOf(predicted, object) > scene.ignore_threshold) ignored[first_row + r] = true;
        }
      }
      first_row += map_height * map_width * anchors;
    }

    // One object after the other takes its place.
    for (size_t g = 0; g < objects.size(); ++g) {
      double best = -1;
      size_t map = 0, anchor = 0;
      for (size_t k = 0; k < scene.maps.size(); ++k) {
        for (size_t a = 0; a < scene.maps[k].anchors.size(); ++a) {
          const Relative at_origin = {0, 0, objects[g].width, objects[g].height};
          const double iou = IouOf(at_origin, {0, 0, scene.maps[k].anchors[a].width / scene.image.width,
                                               scene.maps[k].anchors[a].height / scene.image.height});
          if (iou > best) {
            best = iou;
            map = k;
            anchor = a;
          }
        }
      }
      const int64_t map_height = scene.maps[map].rows, map_width = scene.maps[map].columns;
      const int64_t column = static_cast<int64_t>(objects[g].x * static_cast<double>(map_width));
      const int64_t row = static_cast<int64_t>(objects[g].y * static_cast<double>(map_height));
      const int64_t r = first_rows[map] +
                        (row * map_width + column) * static_cast<int64_t>(scene.maps[map].anchors.size()) +
                        static_cast<int64_t>(anchor);
      ++count[r];
      last[r] = g;
      classes[r].insert(labels[g]);
      const float* own = output + r * width;
      const YoloAnchor& shape = scene.maps[map].anchors[anchor];
      const double scale = 2 - objects[g].width * objects[g].height;
      const double wanted[] = {objects[g].x * static_cast<double>(map_width) - static_cast<double>(column),
                               objects[g].y * static_cast<double>(map_height) - static_cast<double>(row),
                               std::log(objects[g].width * scene.image.width / shape.width),
                               std::log(objects[g].height * scene.image.height / shape.height)};
      for (int d = 0; d < 4; ++d) {
        slope[r * width + d] = scale * ((d < 2 ? Sigmoid(own[d]) : static_cast<double>(own[d])) - wanted[d]);
      }
    }

    for (int64_t r = 0; r < rows; ++r) {
      const float* own = output + r * width;
      result.assigned += count[r] > 0;
      result.shared += count[r] > 1;
      result.ignored += count[r] == 0 && ignored[r];
      if (count[r] == 0 && ignored[r]) continue;
      const double objectness = count[r] > 0 ? 1 : 0;
      slope[r * width + 4] = Sigmoid(own[4]) - objectness;
      result.objectness += CrossEntropy(own[4], objectness);
      if (count[r] == 0) continue;
      for (int c = 0; c < scene.classes; ++c) {
        const double target = classes[r].count(c) > 0 ? 1 : 0;
        slope[r * width + 5 + c] = Sigmoid(own[5 + c]) - target;
        result.classification += CrossEntropy(own[5 + c], target);
      }
      const double scale = 2 - objects[last[r]].width * objects[last[r]].height;
      for (int d = 0; d < 4; ++d) {
        const double difference = slope[r * width + d] / scale;
        if (d < 2) result.box += scale * CrossEntropy(own[d], Sigmoid(own[d]) - difference);
        if (d >= 2) result.box += scale * difference * difference / 2;
      }
    }
  }
  return result;
}

}  // namespace trireme
