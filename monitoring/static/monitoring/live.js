// A page that refreshes a part of itself says so when it no longer can, and since when.
(function () {
  "use strict";
  let lastSuccess = new Date();

  function banner() {
    return document.getElementById("stale");
  }

  function complain(why) {
    const shown = banner();
    if (shown) {
      shown.textContent = "This page has not been refreshed since " + lastSuccess.toISOString().slice(11, 19) + " UTC: " + why;
      shown.hidden = false;
    }
  }

  document.addEventListener("htmx:afterRequest", function (event) {
    if (event.detail.successful) {
      lastSuccess = new Date();
      const shown = banner();
      if (shown) {
        shown.hidden = true;
      }
    }
  });
  document.addEventListener("htmx:sendError", () => complain("the web server does not answer."));
  document.addEventListener("htmx:timeout", () => complain("the web server did not answer in time."));
  document.addEventListener("htmx:responseError", (event) =>
    complain("the web server answered " + event.detail.xhr.status + "."));
})();
