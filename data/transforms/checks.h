// What the factories of transforms share: ranges of numbers, colours, boxes cut to an image.
#ifndef TRIREME_DATA_TRANSFORMS_CHECKS_H_
#define TRIREME_DATA_TRANSFORMS_CHECKS_H_

#include <google/protobuf/repeated_field.h>

#include <cstdint>

#include "core/api/sample.h"
#include "core/base/status.h"

namespace trireme {

// InvalidArgument that names the field unless low <= value <= high.
Status CheckRange(const char* field, double value, double low, double high);

// CheckRange for both ends of a range that is drawn from; InvalidArgument that names both if it has none.
Status CheckRangeOf(const char* least_field, double least, const char* most_field, double most, double low,
                    double high);

// The mean of ImageNet where `fill` is empty; InvalidArgument unless three values of 0..255.
StatusOr<Colour> FillColour(const google::protobuf::RepeatedField<int32_t>& fill);

// The part of `box` inside of width x height; without area where there is none.
Box ClipBox(const Box& box, int width, int height);

}  // namespace trireme

#endif  // TRIREME_DATA_TRANSFORMS_CHECKS_H_
