// A comparison as a page for people and as JSON for programs; comparison_table.h has it for the terminal.
#ifndef TRIREME_TOOLS_COMPARISON_COMPARISON_OUTPUT_H_
#define TRIREME_TOOLS_COMPARISON_COMPARISON_OUTPUT_H_

#include <string>

#include "tools/comparison/comparison.h"

namespace trireme {

// Times in milliseconds, sizes in bytes, bandwidths in bytes a second.
std::string ComparisonJson(const Comparison& comparison);

// One HTML file that needs nothing else.
std::string ComparisonPage(const Comparison& comparison, const ComparisonOptions& options, const std::string& title,
                           const std::string& config_text);

}  // namespace trireme

#endif  // TRIREME_TOOLS_COMPARISON_COMPARISON_OUTPUT_H_
