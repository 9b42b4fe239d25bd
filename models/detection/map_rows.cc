#include "models/detection/map_rows.h"

#include "core/ops/pointwise.h"

namespace trireme {

Var RowsOfMap(Context& context, const Var& map, int values) {
  const int64_t rows = map.shape().size() / (map.dim(0) * values);
  return ops::Reshape(context, map, {map.dim(0), rows, values});
}

}  // namespace trireme
