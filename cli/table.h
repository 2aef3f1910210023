#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace herald::cli {

// Rows of text in aligned columns, two spaces apart, no trailing blanks. Cells pass through
// Printable().
//
//   Table table({{"SESSION"}, {"QUEUED", Table::kRight}});
//   table.Row({id, "12"});
//   std::fputs(table.Take().c_str(), stdout);
class Table {
 public:
  enum Align { kLeft, kRight };
  struct Column {
    std::string title;
    Align align = kLeft;
  };

  // Lines are cut at `max_width` columns, in the last column; 0 means never.
  explicit Table(std::vector<Column> columns, std::size_t max_width = 0);

  // As many cells as there are columns.
  void Row(std::vector<std::string> cells);
  // The header (the first time only) and the rows since the last call. Widths only grow, so pages
  // of one long list mostly line up while no more than a page is kept.
  std::string Take();

 private:
  std::string Line(const std::vector<std::string>& cells) const;

  std::vector<Column> columns_;
  std::vector<std::size_t> widths_;
  std::vector<std::vector<std::string>> rows_;
  std::size_t max_width_;
  bool header_taken_ = false;
};

// "name   value" lines; values line up.
class Facts {
 public:
  // `value` passes through Printable(). Nothing is added when it is empty.
  void Add(std::string name, std::string value);
  std::string Text() const;

 private:
  std::vector<std::pair<std::string, std::string>> facts_;
};

}  // namespace herald::cli
