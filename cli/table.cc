#include "cli/table.h"

#include <algorithm>
#include <utility>

#include "cli/text.h"

namespace herald::cli {

Table::Table(std::vector<Column> columns, std::size_t max_width)
    : columns_(std::move(columns)), max_width_(max_width) {
  for (const Column& column : columns_) widths_.push_back(DisplayWidth(column.title));
}

void Table::Row(std::vector<std::string> cells) {
  cells.resize(columns_.size());
  for (std::size_t i = 0; i < cells.size(); ++i) {
    cells[i] = Printable(cells[i]);
    widths_[i] = std::max(widths_[i], DisplayWidth(cells[i]));
  }
  rows_.push_back(std::move(cells));
}

std::string Table::Take() {
  std::string out;
  if (!std::exchange(header_taken_, true)) {
    std::vector<std::string> titles;
    for (const Column& column : columns_) titles.push_back(column.title);
    out += Line(titles);
  }
  for (const auto& row : rows_) out += Line(row);
  rows_.clear();
  return out;
}

std::string Table::Line(const std::vector<std::string>& cells) const {
  std::string line;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (i > 0) line += "  ";
    const std::string padding(widths_[i] - DisplayWidth(cells[i]), ' ');
    line += columns_[i].align == kRight ? padding + cells[i] : cells[i] + padding;
  }
  line.resize(line.find_last_not_of(' ') + 1);
  return Truncate(std::move(line), max_width_) + "\n";
}

void Facts::Add(std::string name, std::string value) {
  if (!value.empty()) facts_.emplace_back(std::move(name), Printable(value));
}

std::string Facts::Text() const {
  std::size_t width = 0;
  for (const auto& [name, value] : facts_) width = std::max(width, DisplayWidth(name));
  std::string out;
  for (const auto& [name, value] : facts_) {
    out += name + std::string(width - DisplayWidth(name) + 2, ' ') + value + "\n";
  }
  return out;
}

}  // namespace herald::cli
