#include "tools/report/escape_html.h"

#include "absl/strings/str_replace.h"

namespace trireme {

std::string EscapeHtml(const std::string& text) {
  return absl::StrReplaceAll(text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}});
}

}  // namespace trireme
