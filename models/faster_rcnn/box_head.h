// What says of each proposal what it is and how its box has to be moved, by class: two dense layers, then one for the
// scores and one for the offsets. Girshick: Fast R-CNN, ICCV 2015 (section 2). Parameter names are torchvision's:
// "box_head.fc6.weight", "box_head.fc7.weight", "box_predictor.cls_score.weight", "box_predictor.bbox_pred.weight".
//
// fc6 reads a proposal's map in this framework's order, (row, column, channel); torchvision's is (channel, row,
// column). The columns of its fc6.weight have to be permuted accordingly: [O, C, S, S] to [O, S, S, C].
#ifndef TRIREME_MODELS_FASTER_RCNN_BOX_HEAD_H_
#define TRIREME_MODELS_FASTER_RCNN_BOX_HEAD_H_

#include "core/nn/layers.h"
#include "core/nn/module.h"

namespace trireme {

// Float32 whatever the precision.
struct BoxHeadOutputs {
  Var logits;   // [M, num_classes + 1]; column 0 is the background
  Var offsets;  // [M, 4 (num_classes + 1)]; those of the background are not used
};

class BoxHead : public Module {
 public:
  // `inputs`: values of a proposal. Weights and biases start as torch's dense layers do.
  BoxHead(int64_t inputs, int64_t features, int num_classes);
  // maps [M, S, S, C].
  BoxHeadOutputs Forward(Context& context, const Var& maps) const;

 private:
  const Linear& fc6_;
  const Linear& fc7_;
  const Linear& scores_;
  const Linear& offsets_;
};

}  // namespace trireme

#endif  // TRIREME_MODELS_FASTER_RCNN_BOX_HEAD_H_
