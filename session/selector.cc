#include "session/selector.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace herald {
namespace {

enum class TokenKind { kEnd, kWord, kNot, kEquals, kNotEquals, kOpen, kClose, kComma, kOther };

struct Token {
  TokenKind kind;
  std::string_view text;  // points into the selector
  std::size_t at;         // bytes before it
};

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

bool IsSpecial(char c) { return std::string_view("=!(),<>").find(c) != std::string_view::npos; }

// Splits a selector into tokens, one ahead of the parser.
class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) { Advance(); }

  const Token& Peek() const { return next_; }

  Token Take() {
    const Token taken = next_;
    Advance();
    return taken;
  }

 private:
  void Advance() {
    while (at_ < text_.size() && IsSpace(text_[at_])) ++at_;
    const std::size_t from = at_;
    const TokenKind kind = Scan();
    next_ = {kind, text_.substr(from, at_ - from), from};
  }

  TokenKind Scan() {
    if (at_ == text_.size()) return TokenKind::kEnd;
    const char c = text_[at_];
    if (!IsSpecial(c)) {
      while (at_ < text_.size() && !IsSpace(text_[at_]) && !IsSpecial(text_[at_])) ++at_;
      return TokenKind::kWord;
    }
    ++at_;
    const bool equals_follows = at_ < text_.size() && text_[at_] == '=';
    switch (c) {
      case '=':
        if (equals_follows) ++at_;
        return TokenKind::kEquals;
      case '!':
        if (!equals_follows) return TokenKind::kNot;
        ++at_;
        return TokenKind::kNotEquals;
      case '(':
        return TokenKind::kOpen;
      case ')':
        return TokenKind::kClose;
      case ',':
        return TokenKind::kComma;
      default:
        return TokenKind::kOther;
    }
  }

  std::string_view text_;
  std::size_t at_ = 0;
  Token next_{};
};

absl::Status ErrorAt(std::size_t at, std::string_view what) {
  return absl::InvalidArgumentError(fmt::format("selector, column {}: {}", at + 1, what));
}

absl::Status Unexpected(const Token& token, std::string_view expected) {
  if (token.kind == TokenKind::kEnd) {
    return ErrorAt(token.at, fmt::format("expected {}, but it ends here", expected));
  }
  const char c = token.text.front();
  if (c < 0x20 || c >= 0x7f) {
    return ErrorAt(token.at, fmt::format("expected {}, found byte 0x{:02x}", expected,
                                         static_cast<unsigned char>(c)));
  }
  // A word may hold other bytes further on; its first character is enough.
  return ErrorAt(
      token.at, fmt::format("expected {}, found '{}'", expected,
                            token.kind == TokenKind::kWord ? token.text.substr(0, 1) : token.text));
}

// `status` as an error of this place.
absl::Status Locate(const Token& token, const absl::Status& status) {
  if (status.ok()) return status;
  return ErrorAt(token.at, std::string_view(status.message().data(), status.message().size()));
}

}  // namespace

// Recursive descent, with one token of look-ahead and no recursion.
class Selector::Parser {
 public:
  explicit Parser(std::string_view text) : lexer_(text) {}

  absl::StatusOr<Selector> Parse() {
    Selector selector;
    if (lexer_.Peek().kind == TokenKind::kEnd) return ErrorAt(0, "the selector is empty");
    while (true) {
      const std::size_t at = lexer_.Peek().at;
      Requirement requirement;
      if (absl::Status status = ParseRequirement(requirement); !status.ok()) return status;
      if (selector.requirements_.size() == kMaxSelectorRequirements) {
        return ErrorAt(at, fmt::format("more than {} requirements", kMaxSelectorRequirements));
      }
      selector.requirements_.push_back(std::move(requirement));

      const Token token = lexer_.Take();
      if (token.kind == TokenKind::kEnd) return selector;
      if (token.kind != TokenKind::kComma) return Unexpected(token, "',' or the end");
    }
  }

 private:
  using Operator = Requirement::Operator;

  absl::Status ParseRequirement(Requirement& out) {
    const bool negated = lexer_.Peek().kind == TokenKind::kNot;
    if (negated) lexer_.Take();
    const Token key = lexer_.Take();
    if (key.kind != TokenKind::kWord) return Unexpected(key, "a label key");
    if (absl::Status status = Locate(key, ValidateLabelKey(key.text)); !status.ok()) return status;
    out.key = key.text;
    if (negated) {
      out.op = Operator::kAbsent;
      return absl::OkStatus();
    }

    const Token& next = lexer_.Peek();
    switch (next.kind) {
      case TokenKind::kEnd:
      case TokenKind::kComma:
        out.op = Operator::kExists;
        return absl::OkStatus();
      case TokenKind::kEquals:
      case TokenKind::kNotEquals:
        out.op = lexer_.Take().kind == TokenKind::kEquals ? Operator::kIn : Operator::kNotIn;
        return ParseValue(out.values);
      case TokenKind::kWord:
        if (next.text != "in" && next.text != "notin") break;
        out.op = lexer_.Take().text == "in" ? Operator::kIn : Operator::kNotIn;
        return ParseList(out.values);
      default:
        break;
    }
    return Unexpected(next, "'=', '==', '!=', 'in', 'notin', ',' or the end");
  }

  // One value, which may be empty: then the next token is left where it is.
  absl::Status ParseValue(std::vector<std::string>& out) {
    const Token& token = lexer_.Peek();
    switch (token.kind) {
      case TokenKind::kWord:
        if (absl::Status status = Locate(token, ValidateLabelValue(token.text)); !status.ok()) {
          return status;
        }
        out.emplace_back(token.text);
        lexer_.Take();
        return absl::OkStatus();
      case TokenKind::kEnd:
      case TokenKind::kComma:
      case TokenKind::kClose:
        out.emplace_back();
        return absl::OkStatus();
      default:
        return Unexpected(token, "a label value");
    }
  }

  absl::Status ParseList(std::vector<std::string>& out) {
    if (const Token open = lexer_.Take(); open.kind != TokenKind::kOpen) {
      return Unexpected(open, "'('");
    }
    if (lexer_.Peek().kind == TokenKind::kClose) {
      return ErrorAt(lexer_.Peek().at, "the list of values is empty");
    }
    while (true) {
      const std::size_t at = lexer_.Peek().at;
      if (absl::Status status = ParseValue(out); !status.ok()) return status;
      if (out.size() > kMaxSelectorValues) {
        return ErrorAt(at, fmt::format("more than {} values", kMaxSelectorValues));
      }
      const Token token = lexer_.Take();
      if (token.kind == TokenKind::kClose) break;
      if (token.kind != TokenKind::kComma) return Unexpected(token, "',' or ')'");
    }
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
    return absl::OkStatus();
  }

  Lexer lexer_;
};

absl::StatusOr<Selector> Selector::Parse(std::string_view text) {
  if (text.size() > kMaxSelectorBytes) {
    return absl::InvalidArgumentError(
        fmt::format("selector has {} bytes, {} are allowed", text.size(), kMaxSelectorBytes));
  }
  return Parser(text).Parse();
}

bool Selector::Matches(const Labels& labels) const {
  return std::all_of(
      requirements_.begin(), requirements_.end(), [&labels](const Requirement& requirement) {
        const std::optional<std::string_view> value = labels.Get(requirement.key);
        switch (requirement.op) {
          case Requirement::Operator::kExists:
            return value.has_value();
          case Requirement::Operator::kAbsent:
            return !value.has_value();
          case Requirement::Operator::kIn:
          case Requirement::Operator::kNotIn:
            break;
        }
        const bool among =
            value.has_value() &&
            std::binary_search(requirement.values.begin(), requirement.values.end(), *value);
        return among == (requirement.op == Requirement::Operator::kIn);
      });
}

}  // namespace herald
