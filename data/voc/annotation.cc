#include "data/voc/annotation.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <pugixml.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"

namespace trireme {
namespace {

class LineCounter {
 public:
  explicit LineCounter(const std::string& text) : text_(text) {}
  // Lines count from 1. Offsets may come in any order, rising ones cost nothing twice.
  int At(ptrdiff_t offset) {
    const size_t end = std::min(text_.size(), static_cast<size_t>(std::max<ptrdiff_t>(offset, 0)));
    if (end < position_) {
      position_ = 0;
      line_ = 1;
    }
    line_ += static_cast<int>(std::count(text_.begin() + position_, text_.begin() + end, '\n'));
    position_ = end;
    return line_;
  }

 private:
  const std::string& text_;
  size_t position_ = 0;
  int line_ = 1;
};

std::string Text(const pugi::xml_node& node) { return std::string(absl::StripAsciiWhitespace(node.text().get())); }

int Extent(const pugi::xml_node& node) {
  double value = 0;
  if (!absl::SimpleAtod(Text(node), &value) || !(value >= 0) || value > std::numeric_limits<int>::max()) return 0;
  return static_cast<int>(value);
}

VocObject ReadObject(const pugi::xml_node& node) {
  VocObject object;
  object.name = Text(node.child("name"));
  const std::string difficult = Text(node.child("difficult"));
  object.difficult = difficult == "1";
  if (!difficult.empty() && difficult != "0" && difficult != "1") object.odd_difficult = difficult;
  const pugi::xml_node box = node.child("bndbox");
  if (!box) {
    object.fault = "it has no <bndbox>";
    return object;
  }
  const struct {
    const char* name;
    double* value;
  } corners[] = {{"xmin", &object.xmin}, {"ymin", &object.ymin}, {"xmax", &object.xmax}, {"ymax", &object.ymax}};
  for (const auto& corner : corners) {
    const pugi::xml_node child = box.child(corner.name);
    if (!child) {
      object.fault = absl::StrCat("<bndbox> has no <", corner.name, ">");
      return object;
    }
    const std::string text = Text(child);
    if (!absl::SimpleAtod(text, corner.value) || !std::isfinite(*corner.value)) {
      object.fault = absl::StrCat(corner.name, " is '", text, "', not a number");
      return object;
    }
  }
  return object;
}

}  // namespace

bool ParseVocAnnotation(const std::string& text, VocAnnotation* annotation, MalformedXml* malformed) {
  LineCounter lines(text);
  pugi::xml_document document;
  // Read as UTF-8, whatever the file says: converted text would have other offsets.
  const pugi::xml_parse_result parsed =
      document.load_buffer(text.data(), text.size(), pugi::parse_default, pugi::encoding_utf8);
  if (!parsed) {
    *malformed = {lines.At(parsed.offset), parsed.description()};
    return false;
  }
  const pugi::xml_node root = document.child("annotation");
  if (!root) {
    const pugi::xml_node first = document.document_element();
    *malformed = {lines.At(first.offset_debug()),
                  absl::StrCat("the root element is <", first.name(), ">, not <annotation>")};
    return false;
  }
  if (const pugi::xml_node second = root.next_sibling("annotation")) {
    *malformed = {lines.At(second.offset_debug()), "it has a second <annotation>"};
    return false;
  }
  *annotation = {};
  const pugi::xml_node size = root.child("size");
  annotation->size_line = lines.At((size ? size : root).offset_debug());
  annotation->width = Extent(size.child("width"));
  annotation->height = Extent(size.child("height"));
  for (const pugi::xml_node& node : root.children("object")) {
    annotation->objects.push_back(ReadObject(node));
    annotation->objects.back().line = lines.At(node.offset_debug());
  }
  return true;
}

}  // namespace trireme
