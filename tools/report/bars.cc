#include "tools/report/bars.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tools/report/escape_html.h"

namespace trireme {
namespace {

double Sum(const Bar& bar) {
  double sum = 0;
  for (const BarPart& part : bar.parts) sum += part.value;
  return sum;
}

}  // namespace

std::string BarChart(const std::string& title, const std::string& unit, const std::vector<Bar>& bars) {
  double longest = 0;
  for (const Bar& bar : bars) longest = std::max(longest, Sum(bar));
  if (!(longest > 0)) return "";
  std::string html = absl::StrCat("<div class=\"bars\"><h3>", EscapeHtml(title), "</h3><p class=\"soft\">");
  for (const BarPart& part : bars.front().parts) {
    absl::StrAppendFormat(&html, "<span><i style=\"background:%s\"></i>%s</span>", part.colour, EscapeHtml(part.name));
  }
  html += "</p>";
  for (const Bar& bar : bars) {
    absl::StrAppend(&html, "<div class=\"bar\"><label>", EscapeHtml(bar.name), "</label><div>");
    for (const BarPart& part : bar.parts) {
      absl::StrAppendFormat(&html, "<b style=\"width:%.2f%%;background:%s\" title=\"%s: %.1f %s\"></b>",
                            100 * part.value / longest, part.colour, EscapeHtml(part.name), part.value,
                            EscapeHtml(unit));
    }
    absl::StrAppendFormat(&html, "</div><em>%.1f %s</em></div>", Sum(bar), EscapeHtml(unit));
  }
  return html + "</div>";
}

}  // namespace trireme
