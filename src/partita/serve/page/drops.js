/* Files that people drop on the page or choose. */
"use strict";

(function () {
  const $ = (id) => document.getElementById(id);

  /* Whether a file of a folder may be a song: folders hold covers, lists and logs as well. */
  function mayBeSong(file) {
    const isOther = /^(image|text)\/|^application\/(pdf|json|zip|xml)/.test(file.type);
    return !isOther && !/^\.|\.(cue|toc|m3u8?|pls|lrc|log|nfo|sfv|md5|ffp|db|ini|url|lnk|part|tmp)$/i.test(file.name);
  }

  /* Promise of {files, isFolder} of a drop: those in folders too. */
  async function droppedFiles(transfer) {
    const entries = [...transfer.items].filter((item) => item.kind === "file").map((item) => item.webkitGetAsEntry());
    const found = [];
    const walk = async (entry) => {
      if (!entry) return;
      if (entry.isFile) found.push(await new Promise((resolve, reject) => entry.file(resolve, reject)));
      else {
        const reader = entry.createReader();
        for (;;) {
          const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
          if (!some.length) break;
          for (const each of some) await walk(each);
        }
      }
    };
    for (const entry of entries) await walk(entry);
    if (!entries.some(Boolean)) return { files: [...transfer.files], isFolder: false };
    return { files: found, isFolder: entries.some((entry) => entry && entry.isDirectory) };
  }

  /** Hand over what is dropped on the page or chosen with its buttons.
   *
   * @param take  function (files)
   * @param tell  shows one sentence
   */
  partita.takeFiles = function (take, tell) {
    const drop = $("drop");
    const add = (files, isFolder) => {
      const songs = isFolder ? files.filter(mayBeSong) : files;
      take(songs);
      const left = files.length - songs.length;
      if (left) tell(`${left} ${left === 1 ? "file that is" : "files that are"} no song left out.`);
    };
    const choose = (button, input) => {
      $(button).addEventListener("click", () => $(input).click());
      $(input).addEventListener("change", () => {
        add([...$(input).files], input === "folder");
        $(input).value = "";
      });
    };
    choose("choose-files", "files");
    choose("choose-folder", "folder");
    let depth = 0; // of elements that a drag is over
    const isFiles = (event) => [...event.dataTransfer.types].includes("Files") && !$("library").hidden;
    addEventListener("dragenter", (event) => isFiles(event) && ++depth && drop.classList.add("over"));
    addEventListener("dragleave", (event) => isFiles(event) && --depth <= 0 && drop.classList.remove("over"));
    addEventListener("dragover", (event) => isFiles(event) && event.preventDefault());
    addEventListener("drop", async (event) => {
      if (!isFiles(event)) return;
      event.preventDefault();
      depth = 0;
      drop.classList.remove("over");
      const { files, isFolder } = await droppedFiles(event.dataTransfer);
      add(files, isFolder);
    });
  };
})();
