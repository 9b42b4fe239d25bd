#include "tools/report/page_style.h"

#include "absl/strings/str_cat.h"
#include "tools/report/escape_html.h"

namespace trireme {
namespace {

constexpr char kStyle[] = R"(
:root { color-scheme: light dark; --ground: #fff; --ink: #1c2024; --soft: #667; --line: #dde1e6; --card: #f6f7f9; --bad: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #15181c; --ink: #e8eaed; --soft: #9aa3ad; --line: #333a42; --card: #1d2126; --bad: #ff8a75; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1180px; padding: 28px 24px 60px; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 18px; margin: 34px 0 12px; }
.soft { color: var(--soft); }
.cards { display: flex; flex-wrap: wrap; gap: 12px; margin: 20px 0 4px; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 10px 16px; min-width: 120px; }
.card b { display: block; font-size: 22px; font-weight: 600; }
.card span { color: var(--soft); font-size: 13px; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(440px, 1fr)); gap: 16px; }
.chart { width: 100%; background: var(--card); border: 1px solid var(--line); border-radius: 8px; }
.chart text { fill: var(--ink); font: 13px system-ui, Arial, sans-serif; } .chart .title { font-weight: 600; }
.chart .tick { fill: var(--soft); font-size: 11.5px; } .chart .grid { stroke: var(--line); }
.chart .line { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(360px, 1fr)); gap: 12px; }
.pictures img { width: 100%; border-radius: 6px; border: 1px solid var(--line); display: block; }
.pictures figure { margin: 0; } figcaption { color: var(--soft); font-size: 12.5px; overflow-wrap: anywhere; }
table { border-collapse: collapse; } td, th { padding: 4px 14px 4px 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); } td.number { text-align: right; font-variant-numeric: tabular-nums; }
h3 { font-size: 15px; margin: 22px 0 2px; } .bars p { margin: 0 0 8px; } .bars p span { margin-right: 18px; }
.bars i { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin-right: 6px; }
.bar { display: grid; grid-template-columns: minmax(160px, 28%) 1fr 110px; gap: 10px; align-items: center; margin: 3px 0;
  font-size: 13px; } .bar label { text-align: right; overflow-wrap: anywhere; } .bar div { display: flex; height: 16px; }
.bar b { height: 100%; } .bar em { font-style: normal; white-space: nowrap; color: var(--soft); font-variant-numeric: tabular-nums; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 14px; overflow-x: auto;
  font-size: 13px; } summary { cursor: pointer; font-weight: 600; font-size: 18px; margin: 34px 0 12px; }
)";

}  // namespace

std::string HtmlHead(const std::string& title, const std::string& further_style) {
  return absl::StrCat(
      "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width\"><title>",
      EscapeHtml(title), "</title><style>", kStyle, further_style, "</style></head><body>");
}

}  // namespace trireme
