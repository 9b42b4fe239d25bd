// Where predictions stand: the cells of a backbone's maps, each with its anchors. Redmon, Farhadi: YOLO9000, 2017
// (section 2, "Direct location prediction").
#ifndef TRIREME_MODELS_YOLO_CELLS_H_
#define TRIREME_MODELS_YOLO_CELLS_H_

#include <cmath>
#include <cstdint>
#include <vector>

#include "core/api/sample.h"
#include "core/base/host_device.h"

namespace trireme {

// Of an image.
struct YoloExtent {
  float width = 0, height = 0;
};

// In pixels.
struct YoloAnchor {
  float width = 0, height = 0;
};

// How the first two outputs of a place say where the centre is.
enum class YoloCentre {
  kSigmoid,  // within the cell, through a sigmoid: YOLOv3
  kOffset,   // from the cell's centre, in cells: Ge, Liu, Wang, Li, Sun: YOLOX, 2021
};

// One prediction's place. All numbers are floats, so that it is a row of a tensor [R, 9].
struct YoloCell {
  float column = 0, row = 0;    // in its map,
  float columns = 0, rows = 0;  // which has so many
  float width = 0, height = 0;  // of the cell, in pixels
  float anchor_width = 0, anchor_height = 0;
  float anchor = 0;  // its number among those of all maps

  // The four outputs for this place: where the centre is, and the logarithms of what the anchor's sides are multiplied
  // by, which are at most 22026, so that an untrained head gives no infinities.
  TRIREME_HD Box Decode(const float* output, YoloCentre centre) const {
    const float x = (column + Centre(output[0], centre)) * width, y = (row + Centre(output[1], centre)) * height;
    const float half_width = 0.5f * anchor_width * Growth(output[2]);
    const float half_height = 0.5f * anchor_height * Growth(output[3]);
    Box box;
    box.x1 = x - half_width;
    box.y1 = y - half_height;
    box.x2 = x + half_width;
    box.y2 = y + half_height;
    return box;
  }

  // The outputs that `box` is decoded from with kSigmoid; in place of the first two what their sigmoids are to be.
  TRIREME_HD void Encode(const Box& box, float* centre, float* size) const {
    centre[0] = Fraction(0.5f * (box.x1 + box.x2) / width - column);
    centre[1] = Fraction(0.5f * (box.y1 + box.y2) / height - row);
    size[0] = logf(box.width() / anchor_width);
    size[1] = logf(box.height() / anchor_height);
  }

  // Whether the centre of the box is in this cell; one outside of the map is in the nearest.
  TRIREME_HD bool Holds(const Box& box) const {
    return Index(0.5f * (box.x1 + box.x2) / width, columns) == column &&
           Index(0.5f * (box.y1 + box.y2) / height, rows) == row;
  }

  TRIREME_HD static float Centre(float output, YoloCentre centre) {
    return centre == YoloCentre::kSigmoid ? Logistic(output) : 0.5f + output;
  }
  TRIREME_HD static float Logistic(float x) { return 1.0f / (1.0f + expf(-x)); }
  TRIREME_HD static bool Grows(float x) { return x < 10; }
  TRIREME_HD static float Growth(float x) { return expf(Grows(x) ? x : 10.0f); }

 private:
  TRIREME_HD static float Index(float place, float count) {
    const float index = floorf(place);
    return index < 0 ? 0.0f : (index < count ? index : count - 1);
  }
  TRIREME_HD static float Fraction(float x) { return x < 0 ? 0.0f : (x < 1 ? x : 1.0f); }
};

// IoU of two boxes of these sizes with one centre.
TRIREME_HD inline float ShapeIou(float width, float height, float other_width, float other_height) {
  const float shared = (width < other_width ? width : other_width) * (height < other_height ? height : other_height);
  return shared / (width * height + other_width * other_height - shared);
}

// A map of a backbone.
struct YoloMap {
  int64_t rows = 0, columns = 0;
  int stride = 0;
  std::vector<YoloAnchor> anchors;
};

// The places of all maps in the order of a head's outputs: by map, row, column and anchor. Cells are of the map's
// stride, as what its values look at is, if so many of them are what it takes to cover the image; else they divide the
// image.
std::vector<YoloCell> MakeYoloCells(const std::vector<YoloMap>& maps, const YoloExtent& image);

}  // namespace trireme

#endif  // TRIREME_MODELS_YOLO_CELLS_H_
