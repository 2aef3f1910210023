#pragma once

#include <optional>

#include "ws/http_answer.h"
#include "ws/http_request.h"

namespace herald {

// Answers GET, HEAD and OPTIONS for the files of the client port: the browser SDK, and the demo page
// with `enable_demo`. Nothing with a `refusal` for another path or method.
//
// Threads: any.
std::optional<HttpAnswer> AnswerPage(const HttpRequest& request, bool enable_demo,
                                     Refusal& refusal);

}  // namespace herald
