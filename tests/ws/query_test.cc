#include "ws/query.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace herald {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> Topics(std::string_view query) {
  const auto parsed = ParseQuery(query);
  EXPECT_TRUE(parsed.has_value()) << query;
  return parsed ? parsed->topics : std::vector<std::string>{};
}

TEST(QueryTest, ReadsTheParametersItKnows) {
  const auto query =
      ParseQuery("topics=a,b%2F1,&x=y&topics=c&user=bob%2F1&token=t&labels=p=w,beta");
  ASSERT_TRUE(query.has_value());
  EXPECT_THAT(query->topics, ElementsAre("a", "b/1", "c"));
  EXPECT_THAT(query->labels, ElementsAre("p=w", "beta"));
  EXPECT_EQ(query->user, "bob/1");
  EXPECT_EQ(query->token, "t");
}

TEST(QueryTest, IsEmptyWithoutAny) {
  EXPECT_THAT(Topics(""), IsEmpty());
  EXPECT_THAT(Topics("&&=&topics"), IsEmpty());
  EXPECT_THAT(Topics("topics=,%20,"), IsEmpty());
}

// The query percent-encode set of the WHATWG URL standard leaves these to the server.
TEST(QueryTest, B5TakesWhatBrowsersSendRaw) {
  const std::string raw = R"(a|b[c]{d}^e"f<g>h\i`j!k'l(m)n*o;p:q@r/s?t~u$v)";
  EXPECT_THAT(Topics("topics=" + raw), ElementsAre(raw));
  EXPECT_THAT(Topics("topics=gr\xc3\xbcn"), ElementsAre("gr\xc3\xbcn"));
  EXPECT_EQ(ParseQuery("a|[]=%5B&user=a|b")->user, "a|b");
}

TEST(QueryTest, B6SplitsAtCommasBeforeItDecodes) {
  EXPECT_THAT(Topics("topics=a%2Cb,c%2cd"), ElementsAre("a,b", "c,d"));
  EXPECT_THAT(ParseQuery("labels=city=Bern%2CWabern,beta")->labels,
              ElementsAre("city=Bern,Wabern", "beta"));
}

TEST(QueryTest, PlusIsASpace) {
  EXPECT_THAT(Topics("topics=a+b,c%2Bd"), ElementsAre("a b", "c+d"));
}

TEST(QueryTest, RefusesABrokenPercent) {
  for (const char* query : {"topics=%", "topics=a%2", "topics=a%zz", "x=%g0", "%=x", "labels=%4"})
    EXPECT_FALSE(ParseQuery(query).has_value()) << query;
}

}  // namespace
}  // namespace herald
