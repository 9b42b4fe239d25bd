// The numbers of a comparison as cells, for the terminal and for the page.
#ifndef TRIREME_TOOLS_COMPARISON_COMPARISON_TABLE_H_
#define TRIREME_TOOLS_COMPARISON_COMPARISON_TABLE_H_

#include <string>
#include <vector>

#include "tools/comparison/comparison.h"

namespace trireme {

using Cells = std::vector<std::string>;

// Columns belong to groups, which stand beside one another on a page and below one another on a terminal.
struct TableGroup {
  std::string name;  // "" for what names the row
  Cells header;
};
const std::vector<TableGroup>& TableGroups();

// By group. Of a row that failed, what names it only.
std::vector<Cells> CellsOf(const Row& row);

// "parameters", "gradients", "optimizer", "activations", "total"; bytes, 0 if there is none.
double PeakBytes(const Row& row, const std::string& kind);

// For a terminal, failures below.
std::string ComparisonTable(const Comparison& comparison);

}  // namespace trireme

#endif  // TRIREME_TOOLS_COMPARISON_COMPARISON_TABLE_H_
