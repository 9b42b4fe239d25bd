#include "core/config/config_file.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "core/base/files.h"
#include "core/base/registry.h"

namespace trireme {
namespace {

using google::protobuf::Any;
using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using google::protobuf::TextFormat;

// Looks component names up in the registry, so that `[model/ssd] { ... }` needs no central list of types.
class ComponentFinder : public TextFormat::Finder {
 public:
  const Descriptor* FindAnyType(const Message&, const std::string& prefix, const std::string& name) const override {
    auto entry = ComponentRegistry::Global().Find(prefix + name);
    if (entry.ok()) return (*entry)->prototype->GetDescriptor();
    misses_.push_back(std::string(entry.status().message()));
    return nullptr;
  }
  const std::vector<std::string>& misses() const { return misses_; }

 private:
  mutable std::vector<std::string> misses_;
};

class ErrorList : public google::protobuf::io::ErrorCollector {
 public:
  explicit ErrorList(std::string name) : name_(std::move(name)) {}
  void AddError(int line, google::protobuf::io::ColumnNumber column, const std::string& message) override {
    // The parser counts both from 0; line -1 stands for the whole text.
    errors_.push_back(line < 0 ? absl::StrCat(name_, ": ", message)
                               : absl::StrCat(name_, ":", line + 1, ":", column + 1, ": ", message));
  }
  const std::vector<std::string>& errors() const { return errors_; }

 private:
  std::string name_;
  std::vector<std::string> errors_;
};

std::string FieldNames(const Descriptor& descriptor) {
  std::vector<std::string> names;
  for (int i = 0; i < descriptor.field_count(); ++i) names.push_back(descriptor.field(i)->name());
  return absl::StrJoin(names, ", ");
}

Status Parse(const std::string& text, const std::string& name, bool merge, Message* message) {
  ComponentFinder finder;
  ErrorList errors(name);
  TextFormat::Parser parser;
  parser.SetFinder(&finder);
  parser.RecordErrorsTo(&errors);
  if (merge) parser.AllowPartialMessage(true);
  const bool ok = merge ? parser.MergeFromString(text, message) : parser.ParseFromString(text, message);
  if (ok) return absl::OkStatus();
  std::vector<std::string> lines = errors.errors();
  lines.insert(lines.end(), finder.misses().begin(), finder.misses().end());
  return absl::InvalidArgumentError(absl::StrJoin(lines, "\n"));
}

struct PathElement {
  std::string field;
  int index = -1;  // of a repeated field
};

StatusOr<std::vector<PathElement>> ParsePath(absl::string_view path) {
  std::vector<PathElement> elements;
  for (absl::string_view part : absl::StrSplit(path, '.')) {
    PathElement element;
    const size_t bracket = part.find('[');
    element.field = std::string(part.substr(0, bracket));
    if (bracket != absl::string_view::npos) {
      absl::string_view index = part.substr(bracket + 1);
      if (!absl::ConsumeSuffix(&index, "]") || !absl::SimpleAtoi(index, &element.index) || element.index < 0) {
        return absl::InvalidArgumentError(absl::StrCat("\"", part, "\" is not field[index]"));
      }
    }
    if (element.field.empty()) return absl::InvalidArgumentError(absl::StrCat("\"", path, "\" has an empty field"));
    elements.push_back(std::move(element));
  }
  return elements;
}

std::string QuoteIfNeeded(const FieldDescriptor& field, bool whole_list, const std::string& value) {
  if (field.cpp_type() != FieldDescriptor::CPPTYPE_STRING) return value;
  if (!value.empty() && (value[0] == '"' || value[0] == '\'')) return value;
  if (whole_list && !value.empty() && value[0] == '[') return value;
  return absl::StrCat("\"", absl::CEscape(value), "\"");
}

Status SetPath(const std::vector<PathElement>& path, size_t at, const std::string& value, const std::string& assignment,
               Message* message);

// A component is unpacked, changed and packed again.
Status SetInAny(const std::vector<PathElement>& path, size_t at, const std::string& value,
                const std::string& assignment, Any* any) {
  if (any->type_url().empty()) {
    return absl::InvalidArgumentError(absl::StrCat("--set ", assignment, ": the config sets no ", path[at - 1].field,
                                                   ", so it has no field ", path[at].field));
  }
  TRIREME_ASSIGN_OR_RETURN(const ComponentRegistry::Entry* entry, ComponentRegistry::Global().Find(any->type_url()));
  std::unique_ptr<Message> inner(entry->prototype->New());
  if (!inner->ParseFromString(any->value())) {
    return absl::InternalError(absl::StrCat("the message of ", entry->key, " does not parse"));
  }
  TRIREME_RETURN_IF_ERROR(SetPath(path, at, value, assignment, inner.get()));
  inner->SerializeToString(any->mutable_value());
  return absl::OkStatus();
}

Status SetPath(const std::vector<PathElement>& path, size_t at, const std::string& value, const std::string& assignment,
               Message* message) {
  if (auto* any = dynamic_cast<Any*>(message)) return SetInAny(path, at, value, assignment, any);
  const Descriptor& descriptor = *message->GetDescriptor();
  const Reflection& reflection = *message->GetReflection();
  const FieldDescriptor* field = descriptor.FindFieldByName(path[at].field);
  if (field == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("--set ", assignment, ": ", descriptor.name(), " has no field ",
                                                   path[at].field, "; it has: ", FieldNames(descriptor)));
  }
  const int index = path[at].index;
  if (index >= 0 && (!field->is_repeated() || index >= reflection.FieldSize(*message, field))) {
    return absl::InvalidArgumentError(
        absl::StrCat("--set ", assignment, ": ", field->name(),
                     field->is_repeated() ? absl::StrCat(" has ", reflection.FieldSize(*message, field), " elements")
                                          : " is not repeated"));
  }
  const bool is_message = field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
  if (at + 1 < path.size()) {
    if (!is_message || (field->is_repeated() && index < 0)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--set ", assignment, ": ", field->name(),
                       is_message ? " is repeated: name an element, as in field[0]" : " has no fields of its own"));
    }
    Message* child = index >= 0 ? reflection.MutableRepeatedMessage(message, field, index)
                                : reflection.MutableMessage(message, field);
    return SetPath(path, at + 1, value, assignment, child);
  }
  // The last element: parse the value as the file's own syntax would, into a fresh message.
  std::unique_ptr<Message> parsed(message->New());
  const bool braces = is_message && !value.empty() && value[0] == '{';
  const std::string text =
      absl::StrCat(field->name(), braces ? " " : ": ", QuoteIfNeeded(*field, field->is_repeated() && index < 0, value));
  TRIREME_RETURN_IF_ERROR(Annotate(Parse(text, "value", true, parsed.get()), absl::StrCat("--set ", assignment)));
  std::vector<const FieldDescriptor*> fields;
  parsed->GetReflection()->ListFields(*parsed, &fields);
  const bool other_fields = std::any_of(fields.begin(), fields.end(), [&](const auto* f) { return f != field; });
  if (other_fields || (index >= 0 && parsed->GetReflection()->FieldSize(*parsed, field) != 1)) {
    return absl::InvalidArgumentError(absl::StrCat("--set ", assignment, ": that is more than one value"));
  }
  if (index >= 0) {
    if (is_message) {
      reflection.MutableRepeatedMessage(message, field, index)
          ->CopyFrom(parsed->GetReflection()->GetRepeatedMessage(*parsed, field, 0));
      return absl::OkStatus();
    }
    // Put the one parsed element in the place of the old one.
    std::unique_ptr<Message> rest(message->New());
    rest->CopyFrom(*message);
    reflection.ClearField(message, field);
    for (int i = 0; i < rest->GetReflection()->FieldSize(*rest, field); ++i) {
      std::string element;
      TextFormat::PrintFieldValueToString(i == index ? *parsed : *rest, field, i == index ? 0 : i, &element);
      TRIREME_RETURN_IF_ERROR(Parse(absl::StrCat(field->name(), ": ", element), "value", true, message));
    }
    return absl::OkStatus();
  }
  reflection.ClearField(message, field);
  message->MergeFrom(*parsed);
  return absl::OkStatus();
}

using FieldList = std::vector<std::pair<std::string, std::string>>;

void AddFields(const Message& message, const std::string& path, FieldList* list) {
  if (const auto* any = dynamic_cast<const Any*>(&message)) {
    const auto entry = ComponentRegistry::Global().Find(any->type_url());
    list->emplace_back(path, any->type_url());
    if (!entry.ok()) return;
    std::unique_ptr<Message> inner((*entry)->prototype->New());
    if (inner->ParseFromString(any->value())) AddFields(*inner, path, list);
    return;
  }
  const Reflection& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const bool repeated = field->is_repeated();
    for (int i = 0; i < (repeated ? reflection.FieldSize(message, field) : 1); ++i) {
      const std::string here =
          absl::StrCat(path, path.empty() ? "" : ".", field->name(), repeated ? absl::StrCat("[", i, "]") : "");
      if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
        AddFields(repeated ? reflection.GetRepeatedMessage(message, field, i) : reflection.GetMessage(message, field),
                  here, list);
      } else {
        std::string value;
        TextFormat::PrintFieldValueToString(message, field, repeated ? i : -1, &value);
        list->emplace_back(here, value);
      }
    }
  }
}

}  // namespace

FieldList ListFields(const Message& message) {
  FieldList list;
  AddFields(message, "", &list);
  return list;
}

Status ParseText(const std::string& text, const std::string& name, Message* message) {
  return Parse(text, name, false, message);
}

Status ParseTextFile(const std::string& path, Message* message) {
  TRIREME_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  return ParseText(text, path, message);
}

std::string PrintText(const Message& message) {
  ComponentFinder finder;
  TextFormat::Printer printer;
  printer.SetExpandAny(true);
  printer.SetFinder(&finder);
  std::string text;
  printer.PrintToString(message, &text);
  return text;
}

StatusOr<std::vector<std::string>> PluginsNamedIn(const std::string& text, const std::string& name) {
  // A tokenizer knows strings and comments; braces tell what is top level.
  google::protobuf::io::ArrayInputStream stream(text.data(), static_cast<int>(text.size()));
  ErrorList errors(name);
  google::protobuf::io::Tokenizer tokenizer(&stream, &errors);
  tokenizer.set_comment_style(google::protobuf::io::Tokenizer::SH_COMMENT_STYLE);
  std::vector<std::string> plugins;
  int depth = 0;
  bool after_plugin = false;
  while (tokenizer.Next()) {
    const auto& token = tokenizer.current();
    if (token.text == "{" || token.text == "<") ++depth;
    if (token.text == "}" || token.text == ">") --depth;
    if (token.type == google::protobuf::io::Tokenizer::TYPE_STRING && after_plugin) {
      // Strings side by side are one, as in C.
      const bool continues = tokenizer.previous().type == google::protobuf::io::Tokenizer::TYPE_STRING;
      if (!continues) plugins.emplace_back();
      google::protobuf::io::Tokenizer::ParseStringAppend(token.text, &plugins.back());
    } else if (token.type == google::protobuf::io::Tokenizer::TYPE_IDENTIFIER) {
      after_plugin = depth == 0 && token.text == "plugin";
    }
  }
  if (!errors.errors().empty()) return absl::InvalidArgumentError(absl::StrJoin(errors.errors(), "\n"));
  return plugins;
}

Status ApplyOverride(const std::string& assignment, Message* message) {
  const size_t equals = assignment.find('=');
  if (equals == std::string::npos || equals == 0) {
    return absl::InvalidArgumentError(absl::StrCat("--set ", assignment, ": write path.to.field=value"));
  }
  const std::string value(absl::StripAsciiWhitespace(assignment.substr(equals + 1)));
  const auto path = ParsePath(absl::StripAsciiWhitespace(absl::string_view(assignment).substr(0, equals)));
  if (!path.ok()) return Annotate(path.status(), absl::StrCat("--set ", assignment));
  // What is refused leaves no trace.
  std::unique_ptr<Message> changed(message->New());
  changed->CopyFrom(*message);
  TRIREME_RETURN_IF_ERROR(SetPath(*path, 0, value, assignment, changed.get()));
  message->GetReflection()->Swap(message, changed.get());
  return absl::OkStatus();
}

}  // namespace trireme
