// Before the first paint: the theme that was chosen here before.
"use strict";
try {
  const theme = localStorage.getItem("seamline-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // storage is off: the system's theme it is
}
