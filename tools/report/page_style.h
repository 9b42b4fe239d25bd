// What the pages that the tools write have in common: they are one file each, on light and dark ground.
#ifndef TRIREME_TOOLS_REPORT_PAGE_STYLE_H_
#define TRIREME_TOOLS_REPORT_PAGE_STYLE_H_

#include <string>

namespace trireme {

// From the doctype to the opened body; `further_style` is CSS on top of the common one.
std::string HtmlHead(const std::string& title, const std::string& further_style);

}  // namespace trireme

#endif  // TRIREME_TOOLS_REPORT_PAGE_STYLE_H_
