// Says what is missing where the live engine cannot run. A plain script: a browser that has no modules,
// or a page that was opened from disk, runs it all the same. The recording is there in any case.

(function () {
  var status = document.getElementById("try-status"), missing = "";
  if (location.protocol === "file:") {
    missing = "This page was opened from disk, where a browser starts no worker. Serve its folder, "
      + "such as with: python -m http.server -d site. ";
  } else if (!("noModule" in HTMLScriptElement.prototype)) missing = "This browser has no JavaScript modules. ";
  else if (typeof WebAssembly !== "object") missing = "WebAssembly is missing or switched off here. ";
  else if (typeof Worker !== "function") missing = "Web workers are missing or switched off here. ";
  status.textContent = missing
    ? missing + "Below is a recording of the engine to step through."
    : "Below is a recording. The live engine is loading (14 MB, once).";
  if (missing) status.dataset.unable = "yes";
})();
