// Before the first paint: the theme that was chosen here, else the one that the system prefers.
(() => {
  const kept = (() => {
    try {
      return localStorage.getItem("tickwire.theme");
    } catch {
      return null;
    }
  })();
  const light = matchMedia("(prefers-color-scheme: light)");
  const apply = () => (document.documentElement.dataset.theme = kept ?? (light.matches ? "light" : "dark"));
  apply();
  if (!kept) light.addEventListener("change", apply);
})();
