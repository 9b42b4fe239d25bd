// How torchvision names what our models hold. This is the one place that knows.
//
// Our names are torchvision's, of the versions since 0.13, for every detector that both have:
//
//   model/ssd          ssd300_vgg16 (backbone/vgg16): backbone.scale_weight, backbone.features.*, backbone.extra.*,
//                      head.classification_head.*, head.regression_head.*
//                      ssdlite320_mobilenet_v3_large (separable_head, backbone/mobilenet_v3_large with expanded_maps):
//                      backbone.features.*, backbone.extra.*, head.*
//   model/faster_rcnn  fasterrcnn_resnet*_fpn (backbone/fpn around backbone/resnet): backbone.body.*, backbone.fpn.*,
//                      rpn.head.*, roi_heads.box_head.*, roi_heads.box_predictor.*
//   model/retinanet    retinanet_resnet*_fpn: backbone.body.*, backbone.fpn.*, head.classification_head.*,
//                      head.regression_head.*
//
// Left are the names of older files, among them torchvision's own published ones, and those of its classifiers, which
// fill a detector's backbone.
#ifndef TRIREME_TOOLS_CONVERSION_TORCHVISION_NAMES_H_
#define TRIREME_TOOLS_CONVERSION_TORCHVISION_NAMES_H_

#include <map>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/train/safetensors.h"

namespace trireme {

// The name of today for one of an older file; else the same. Empty for what no model of ours has: the counters
// "num_batches_tracked".
std::string CurrentTorchvisionName(const std::string& name);

// OK for a model that is of one of the families above by the names of its arrays. Else InvalidArgument, with all that
// the nearest of them has not.
Status CheckIsOfTorchvision(const SafetensorsContent& model);

// For a file of a classifier (resnet*, vgg16*, mobilenet_*), whose arrays have a place in the backbone of a model with
// these names.
class ClassifierNames {
 public:
  explicit ClassifierNames(std::vector<std::string> model_names);
  // The model's name for one of the file; empty for what a backbone leaves out (the last layers of a classifier).
  std::string NameInModel(const std::string& name) const;
  // The model's names that a file has to have, given some that it has: all of the same parts of the backbone, where a
  // part is what "features" and "layer1" name.
  std::vector<std::string> Needed(const std::vector<std::string>& found) const;
  // Whether a name that NameInModel gave is of a stage of residual blocks ("layer1") that the model has. If the model
  // has not got the name then, the file is of another depth.
  bool IsInStageOfModel(const std::string& name) const;

 private:
  std::string PartOf(const std::string& name) const;
  void FindLayersByMap();

  std::vector<std::string> model_names_;
  std::string prefix_;    // of the backbone proper: "backbone." or, where a pyramid is around it, "backbone.body."
  int fourth_pool_ = -1;  // of SSD's VGG16, whose layers from there on are "extra.0"; -1 for others
  // Of SSDLite's MobileNets, whose layers are counted anew behind each map: the model's name for the classifier's.
  std::map<std::string, std::string> by_map_;
};

}  // namespace trireme

#endif  // TRIREME_TOOLS_CONVERSION_TORCHVISION_NAMES_H_
