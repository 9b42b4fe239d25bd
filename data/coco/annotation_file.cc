#include "data/coco/annotation_file.h"

#include <simdjson.h>

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "core/base/files.h"

namespace trireme {
namespace {

namespace json = simdjson::ondemand;
using simdjson::error_code;

// A value of another type than it has to have, or out of range: its entry's fault. All other errors are the file's.
bool IsOfEntry(error_code error) {
  return error == simdjson::INCORRECT_TYPE || error == simdjson::NUMBER_ERROR || error == simdjson::NUMBER_OUT_OF_RANGE;
}

// One entry's fields; the first fault counts.
class FieldReader {
 public:
  explicit FieldReader(std::string* fault) : fault_(*fault) {}

  // OK also where the value is not what it should be: that is a fault.
  error_code Integer(json::value value, const char* name, int64_t* to) {
    return Judge(value.get_int64().get(*to), name, "a whole number");
  }
  error_code Text(json::value value, const char* name, std::string* to) {
    std::string_view text;
    const error_code error = value.get_string().get(text);
    if (!error) to->assign(text);
    return Judge(error, name, "a string");
  }
  // 0 and 1, or a boolean.
  error_code Flag(json::value value, const char* name, bool* to) {
    json::json_type type;
    if (const error_code error = value.type().get(type)) return error;
    if (type == json::json_type::boolean) return Judge(value.get_bool().get(*to), name, "0 or 1");
    int64_t number = 0;
    const error_code error = value.get_int64().get(number);
    *to = number == 1;
    return Judge(!error && number != 0 && number != 1 ? simdjson::INCORRECT_TYPE : error, name, "0 or 1");
  }
  error_code FourNumbers(json::value value, const char* name, double* const (&to)[4]) {
    json::array numbers;
    error_code error = value.get_array().get(numbers);
    if (error) return Judge(error, name, "four numbers");
    size_t count = 0;
    bool good = true;
    for (auto element : numbers) {
      double number = 0;
      error = element.get_double().get(number);
      if (error && !IsOfEntry(error)) return error;
      good = good && !error && std::isfinite(number) && count < 4;
      if (good) *to[count] = number;
      ++count;
    }
    return Judge(good && count == 4 ? simdjson::SUCCESS : simdjson::INCORRECT_TYPE, name, "four numbers");
  }
  // Never a fault: what is no number above 0 is left out.
  error_code PositiveOrNothing(json::value value, double* to) {
    double number = 0;
    const error_code error = value.get_double().get(number);
    if (error && !IsOfEntry(error)) return error;
    if (!error && std::isfinite(number) && number > 0) *to = number;
    return simdjson::SUCCESS;
  }
  void Missing(const char* name) { Fault(absl::StrCat("it has no ", name)); }
  void Fault(const std::string& what) {
    if (fault_.empty()) fault_ = what;
  }

 private:
  error_code Judge(error_code error, const char* name, const char* expected) {
    if (error && IsOfEntry(error)) {
      Fault(absl::StrCat(name, " is not ", expected));
      return simdjson::SUCCESS;
    }
    return error;
  }

  std::string& fault_;
};

// Calls read(field name, value, index of the name or -1) for every field, and notes which of `names` were missing.
template <size_t kCount, class Read>
error_code ReadFields(json::value entry, const char* const (&names)[kCount], size_t needed, FieldReader* reader,
                      const Read& read) {
  json::object fields;
  if (const error_code error = entry.get_object().get(fields)) {
    if (!IsOfEntry(error)) return error;
    reader->Fault("it is no object");
    return simdjson::SUCCESS;
  }
  bool found[kCount] = {};
  for (auto field : fields) {
    std::string_view key;
    if (const error_code error = field.unescaped_key().get(key)) return error;
    const auto* const at = std::find(names, names + kCount, key);
    if (at == names + kCount) continue;
    const size_t index = static_cast<size_t>(at - names);
    found[index] = true;
    json::value value;
    if (const error_code error = field.value().get(value)) return error;
    if (const error_code error = read(index, value)) return error;
  }
  for (size_t i = 0; i < needed; ++i) {
    if (!found[i]) reader->Missing(names[i]);
  }
  return simdjson::SUCCESS;
}

error_code ReadEntry(json::value entry, CocoImage* image) {
  FieldReader reader(&image->fault);
  static constexpr const char* kNames[] = {"id", "file_name", "width", "height"};
  return ReadFields(entry, kNames, 4, &reader, [&](size_t index, json::value value) {
    switch (index) {
      case 0:
        return reader.Integer(value, kNames[index], &image->id);
      case 1:
        return reader.Text(value, kNames[index], &image->file_name);
      case 2:
        return reader.Integer(value, kNames[index], &image->width);
      default:
        return reader.Integer(value, kNames[index], &image->height);
    }
  });
}

error_code ReadEntry(json::value entry, CocoCategory* category) {
  FieldReader reader(&category->fault);
  static constexpr const char* kNames[] = {"id", "name"};
  return ReadFields(entry, kNames, 2, &reader, [&](size_t index, json::value value) {
    return index == 0 ? reader.Integer(value, kNames[0], &category->id)
                      : reader.Text(value, kNames[1], &category->name);
  });
}

error_code ReadEntry(json::value entry, CocoAnnotation* annotation) {
  FieldReader reader(&annotation->fault);
  static constexpr const char* kNames[] = {"image_id", "category_id", "bbox", "iscrowd", "area"};
  return ReadFields(entry, kNames, 3, &reader, [&](size_t index, json::value value) {
    switch (index) {
      case 0:
        return reader.Integer(value, kNames[index], &annotation->image_id);
      case 1:
        return reader.Integer(value, kNames[index], &annotation->category_id);
      case 2:
        return reader.FourNumbers(value, kNames[index],
                                  {&annotation->x, &annotation->y, &annotation->width, &annotation->height});
      case 3:
        return reader.Flag(value, kNames[index], &annotation->is_crowd);
      default:
        return reader.PositiveOrNothing(value, &annotation->area);
    }
  });
}

template <class Entry>
error_code ReadList(json::value value, std::vector<Entry>* entries) {
  json::array list;
  if (const error_code error = value.get_array().get(list)) return error;
  for (auto element : list) {
    json::value entry;
    if (const error_code error = element.get(entry)) return error;
    entries->emplace_back();
    if (const error_code error = ReadEntry(entry, &entries->back())) return error;
  }
  return simdjson::SUCCESS;
}

// "path:3:14" where the parser stands.
std::string PlaceOf(const std::string& path, json::document& document, const std::string& text) {
  const char* at = nullptr;
  if (document.current_location().get(at) || at < text.data() || at > text.data() + text.size()) return path;
  const auto line = std::count(text.data(), at, '\n');
  const char* begin = at;
  while (begin > text.data() && begin[-1] != '\n') --begin;
  return absl::StrCat(path, ":", line + 1, ":", at - begin + 1);
}

}  // namespace

StatusOr<CocoFile> ReadCocoFile(const std::string& path) {
  TRIREME_ASSIGN_OR_RETURN(std::string text, ReadFile(path));
  text.reserve(text.size() + simdjson::SIMDJSON_PADDING);
  json::parser parser;
  json::document document;
  if (const error_code error = parser.iterate(text).get(document)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", simdjson::error_message(error)));
  }
  CocoFile file;
  bool has_images = false, has_categories = false, has_annotations = false;
  std::string section;
  const auto read = [&]() -> error_code {
    json::object root;
    if (const error_code error = document.get_object().get(root)) return error;
    for (auto field : root) {
      std::string_view key;
      if (const error_code error = field.unescaped_key().get(key)) return error;
      section.assign(key);
      json::value value;
      if (const error_code error = field.value().get(value)) return error;
      error_code error = simdjson::SUCCESS;
      if (section == "images") {
        has_images = true;
        error = ReadList(value, &file.images);
      } else if (section == "categories") {
        has_categories = true;
        error = ReadList(value, &file.categories);
      } else if (section == "annotations") {
        has_annotations = true;
        error = ReadList(value, &file.annotations);
      }
      if (error) return error;
      section.clear();
    }
    return document.current_location().error() == simdjson::OUT_OF_BOUNDS ? simdjson::SUCCESS
                                                                          : simdjson::TRAILING_CONTENT;
  };
  if (const error_code error = read()) {
    return absl::InvalidArgumentError(absl::StrCat(PlaceOf(path, document, text), section.empty() ? "" : ": in ",
                                                   section, ": ", simdjson::error_message(error)));
  }
  for (const auto& [has, name] : {std::pair<bool, const char*>{has_images, "images"},
                                  {has_categories, "categories"},
                                  {has_annotations, "annotations"}}) {
    if (!has) return absl::InvalidArgumentError(absl::StrCat(path, ": it has no list \"", name, "\", as COCO's have"));
  }
  return file;
}

}  // namespace trireme
