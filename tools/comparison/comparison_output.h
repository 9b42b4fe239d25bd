// A comparison for people (a table, a page) and for programs (JSON).
#ifndef TRIREME_TOOLS_COMPARISON_COMPARISON_OUTPUT_H_
#define TRIREME_TOOLS_COMPARISON_COMPARISON_OUTPUT_H_

#include <string>

#include "tools/comparison/comparison.h"

namespace trireme {

// For the terminal; a line a row, sentences of failures below.
std::string ComparisonTable(const Comparison& comparison);

std::string ComparisonJson(const Comparison& comparison);

// One HTML file that needs nothing else.
std::string ComparisonPage(const Comparison& comparison, const ComparisonOptions& options, const std::string& title,
                           const std::string& config_text);

}  // namespace trireme

#endif  // TRIREME_TOOLS_COMPARISON_COMPARISON_OUTPUT_H_
