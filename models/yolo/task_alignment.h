// Which predictions are to find which object, by how well they do both parts of the task: Feng, Zhong, Gao, Scott,
// Huang: TOOD: Task-aligned One-stage Object Detection, ICCV 2021 (section 3.2), as YOLOv8 uses it.
//
// A prediction is a candidate for an object if its cell's centre is in the object's box, or the object's centre is in
// the cell, so that every object has some. It is aligned by s^alpha u^beta, where s is its score in the object's class
// and u the IoU of its box. The `top_k` best aligned candidates of each object are assigned to it, those that no
// alignment has (0) left out; one that several objects would have goes to the one whose IoU is best, the first of equal
// ones. What its score is to become is its alignment, scaled so that the best of the object's predictions gets the best
// IoU.
//
// Runs on the device in stream order, with shapes that do not depend on how many objects there are, and reads nothing
// back. An object with a negative label or without area is padding.
#ifndef TRIREME_MODELS_YOLO_TASK_ALIGNMENT_H_
#define TRIREME_MODELS_YOLO_TASK_ALIGNMENT_H_

#include "core/tensor/tensor.h"
#include "models/yolo/cells.h"

namespace trireme {

struct TaskAlignmentOptions {
  int top_k = 10;
  float alpha = 0.5f;
  float beta = 6;
};

// Float32.
struct TaskTargets {
  Tensor objects;    // int32 [N, R]: the object's number in its image, or -1
  Tensor scores;     // [N, R]: what the score in the object's class is to become; 0 where there is none
  Tensor boxes;      // [N, R, 4]: the object's; set only where there is one
  Tensor classes;    // [N, R, C]: the score in the object's class, else 0
  Tensor positives;  // [N, R]: 1 where there is an object, else 0
  Tensor trained;    // [N, R]: 1, for the classes of every prediction are
};

// logits [N, R, C]; predicted [N, R, 4], corners; cells [R, 9]; boxes [N, G, 4]; labels int32 [N, G].
TaskTargets AlignTasks(const Tensor& logits, const Tensor& predicted, const Tensor& cells, const Tensor& boxes,
                       const Tensor& labels, const TaskAlignmentOptions& options, Stream& stream);

}  // namespace trireme

#endif  // TRIREME_MODELS_YOLO_TASK_ALIGNMENT_H_
