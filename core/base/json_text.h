// JSON as text. Names in it may come from the user's files: what is no UTF-8 in them is replaced, where a plain dump()
// throws.
#ifndef TRIREME_CORE_BASE_JSON_TEXT_H_
#define TRIREME_CORE_BASE_JSON_TEXT_H_

#include <nlohmann/json.hpp>
#include <string>

namespace trireme {

// `indent` spaces for each level; negative: all in one line. Of nlohmann::json or nlohmann::ordered_json.
template <class Json>
std::string JsonText(const Json& json, int indent = -1) {
  return json.dump(indent, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
}

}  // namespace trireme

#endif  // TRIREME_CORE_BASE_JSON_TEXT_H_
