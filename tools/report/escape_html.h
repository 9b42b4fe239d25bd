// Text for HTML and SVG.
#ifndef TRIREME_TOOLS_REPORT_ESCAPE_HTML_H_
#define TRIREME_TOOLS_REPORT_ESCAPE_HTML_H_

#include <string>

namespace trireme {

// & < > and quotes replaced.
std::string EscapeHtml(const std::string& text);

}  // namespace trireme

#endif  // TRIREME_TOOLS_REPORT_ESCAPE_HTML_H_
