#include "tools/conversion/coco_classes.h"

#include <regex>

namespace trireme {
namespace {

constexpr int64_t kOutputs = 91;

struct Category {
  int id;
  const char* name;
};

constexpr Category kCategories[] = {
    {1, "person"},         {2, "bicycle"},       {3, "car"},
    {4, "motorcycle"},     {5, "airplane"},      {6, "bus"},
    {7, "train"},          {8, "truck"},         {9, "boat"},
    {10, "traffic light"}, {11, "fire hydrant"}, {13, "stop sign"},
    {14, "parking meter"}, {15, "bench"},        {16, "bird"},
    {17, "cat"},           {18, "dog"},          {19, "horse"},
    {20, "sheep"},         {21, "cow"},          {22, "elephant"},
    {23, "bear"},          {24, "zebra"},        {25, "giraffe"},
    {27, "backpack"},      {28, "umbrella"},     {31, "handbag"},
    {32, "tie"},           {33, "suitcase"},     {34, "frisbee"},
    {35, "skis"},          {36, "snowboard"},    {37, "sports ball"},
    {38, "kite"},          {39, "baseball bat"}, {40, "baseball glove"},
    {41, "skateboard"},    {42, "surfboard"},    {43, "tennis racket"},
    {44, "bottle"},        {46, "wine glass"},   {47, "cup"},
    {48, "fork"},          {49, "knife"},        {50, "spoon"},
    {51, "bowl"},          {52, "banana"},       {53, "apple"},
    {54, "sandwich"},      {55, "orange"},       {56, "broccoli"},
    {57, "carrot"},        {58, "hot dog"},      {59, "pizza"},
    {60, "donut"},         {61, "cake"},         {62, "chair"},
    {63, "couch"},         {64, "potted plant"}, {65, "bed"},
    {67, "dining table"},  {70, "toilet"},       {72, "tv"},
    {73, "laptop"},        {74, "mouse"},        {75, "remote"},
    {76, "keyboard"},      {77, "cell phone"},   {78, "microwave"},
    {79, "oven"},          {80, "toaster"},      {81, "sink"},
    {82, "refrigerator"},  {84, "book"},         {85, "clock"},
    {86, "vase"},          {87, "scissors"},     {88, "teddy bear"},
    {89, "hair drier"},    {90, "toothbrush"},
};

// Rows of a head, for each anchor and class in turn.
struct ClassHead {
  std::regex array;
  int64_t values;  // for a class
  bool has_background;
};

const std::vector<ClassHead>& ClassHeads() {
  static const auto* const heads = new std::vector<ClassHead>{
      {std::regex(R"(roi_heads\.box_predictor\.cls_score\.(weight|bias))"), 1, true},
      {std::regex(R"(roi_heads\.box_predictor\.bbox_pred\.(weight|bias))"), 4, true},
      {std::regex(R"(head\.classification_head\.cls_logits\.(weight|bias))"), 1, false},
      // SSDLite's are the second of two layers.
      {std::regex(R"(head\.classification_head\.module_list\.\d+(\.1)?\.(weight|bias))"), 1, true},
  };
  return *heads;
}

NamedArray KeepCategories(const NamedArray& array, const ClassHead& head) {
  std::vector<int64_t> outputs;
  if (head.has_background) outputs.push_back(0);
  for (const Category& category : kCategories) outputs.push_back(category.id);
  const int64_t anchors = array.shape[0] / (kOutputs * head.values);
  const int64_t size = array.shape.size() / (anchors * kOutputs);  // of an anchor's and a class's values
  NamedArray kept{array.name, {}, {}};
  kept.shape.Append(anchors * static_cast<int64_t>(outputs.size()) * head.values);
  for (int d = 1; d < array.shape.rank(); ++d) kept.shape.Append(array.shape[d]);
  for (int64_t anchor = 0; anchor < anchors; ++anchor) {
    for (const int64_t output : outputs) {
      const auto begin = array.values.begin() + (anchor * kOutputs + output) * size;
      kept.values.insert(kept.values.end(), begin, begin + size);
    }
  }
  return kept;
}

}  // namespace

std::vector<std::string> CocoNames() {
  std::vector<std::string> names;
  for (const Category& category : kCategories) names.emplace_back(category.name);
  return names;
}

std::vector<int64_t> CocoIds() {
  std::vector<int64_t> ids;
  for (const Category& category : kCategories) ids.push_back(category.id);
  return ids;
}

SafetensorsContent KeepCocoCategories(const SafetensorsContent& theirs) {
  SafetensorsContent kept = theirs;
  for (NamedArray& array : kept.arrays) {
    for (const ClassHead& head : ClassHeads()) {
      const bool is_of_classes = array.shape.rank() > 0 && array.shape.size() > 0 &&
                                 array.shape[0] % (kOutputs * head.values) == 0 &&
                                 std::regex_match(array.name, head.array);
      if (!is_of_classes) continue;
      array = KeepCategories(array, head);
      break;
    }
  }
  return kept;
}

}  // namespace trireme
