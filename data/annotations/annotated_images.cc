#include "data/annotations/annotated_images.h"

#include <glog/logging.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/files.h"

namespace trireme {
namespace {

class AnnotatedImages : public Dataset {
 public:
  AnnotatedImages(std::vector<AnnotatedImage> images, std::vector<std::string> class_names,
                  std::vector<int64_t> category_ids)
      : images_(std::move(images)), class_names_(std::move(class_names)), category_ids_(std::move(category_ids)) {
    if (category_ids_.empty()) category_ids_ = Dataset::category_ids();
    CHECK_EQ(category_ids_.size(), class_names_.size());
    for (const AnnotatedImage& image : images_) {
      const auto trained =
          std::count_if(image.objects.begin(), image.objects.end(), [](const Object& object) { return !object.crowd; });
      max_objects_ = std::max(max_objects_, static_cast<int>(trained));
    }
  }

  int64_t size() const override { return static_cast<int64_t>(images_.size()); }
  const std::vector<std::string>& class_names() const override { return class_names_; }
  std::vector<int64_t> category_ids() const override { return category_ids_; }
  int max_objects() const override { return max_objects_; }

  Status Get(int64_t index, Sample* sample) const override {
    TRIREME_ASSIGN_OR_RETURN(Image image, ReadImage(Describe(index, sample).path));
    sample->SetImage(std::move(image));
    return CheckSize(index, *sample);
  }

  Status GetEncoded(int64_t index, Sample* sample) const override {
    TRIREME_ASSIGN_OR_RETURN(std::string bytes, ReadFile(Describe(index, sample).path));
    TRIREME_RETURN_IF_ERROR(SetEncodedImage(std::move(bytes), sample));
    return CheckSize(index, *sample);
  }

 private:
  // All but the pixels.
  const AnnotatedImage& Describe(int64_t index, Sample* sample) const {
    const AnnotatedImage& image = images_[index];
    sample->id = image.id;
    sample->name = image.path;
    sample->objects = image.objects;
    return image;
  }

  Status CheckSize(int64_t index, const Sample& sample) const {
    const AnnotatedImage& image = images_[index];
    if (sample.width() == image.size.width && sample.height() == image.size.height) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(image.path, ": is ", sample.width(), " x ", sample.height(),
                                                   ", but its annotations are for ", image.size.width, " x ",
                                                   image.size.height));
  }

  const std::vector<AnnotatedImage> images_;
  const std::vector<std::string> class_names_;
  std::vector<int64_t> category_ids_;
  int max_objects_ = 0;
};

}  // namespace

std::unique_ptr<Dataset> MakeAnnotatedImages(std::vector<AnnotatedImage> images, std::vector<std::string> class_names,
                                             std::vector<int64_t> category_ids) {
  return std::make_unique<AnnotatedImages>(std::move(images), std::move(class_names), std::move(category_ids));
}

}  // namespace trireme
