## Numbers

bytes = { $count } bytes
parameters-thousand = { $count } thousand parameters
parameters-million = { $count } million parameters
parameters-billion = { $count } billion parameters
seconds-left = { $seconds } s left
minutes-left = { $minutes } min left
hours-left = { $hours } h left
percent = { $value } %
images = { $count ->
    [one] 1 image
   *[other] { $count } images
}

## Tabs

classify = Classify
train = Train
library = Library
evaluate = Evaluate
tab-running = running
tab-paused = paused
tabs = Mode

## Header and footer

footer = CLIP compares an image with text prompts and ranks your labels without being trained on them: zero-shot classification. Written in Rust, runs on WebAssembly and WebGPU, needs no server.
title = CLIP in your browser
promise-what = Drop an image, enter some labels and see which fits best.{" "}
promise-local = Nothing is uploaded
promise-where = : everything runs on your own GPU or CPU.
dark-theme = Dark theme
toggle-dark-theme = Toggle dark theme
change-language = Change the language

## Device and progress

not-running = Not running
loading-cancelled = Loading cancelled
running = Running
running-on = Running on{" "}
device-reason = : { $reason }
starting = Starting…
preparing-cpu = Preparing the CPU…
looking-for-gpu = Looking for a GPU…
loading-model-of = Loading the model: { $done } of { $total }
loading-model-so-far = Loading the model: { $done }
loading-model = Loading the model…
warming-up = Warming up: the first run takes longer…
cancelling = Cancelling…
encoding-prompts-of = Encoding prompts: { $done } of { $total }
encoding-prompts = Encoding prompts…
images-left = { $images } left
model-facts = { $name } · { $parameters } · { $bytes } · { $precision } weights · { $width } × { $height } pixel input
model-independent = {" "}· a probability for each label by itself
model-and-device = Model and device
resume = Resume
load-the-model = Load the model
stop-now = Stop now
cancel = Cancel
int8-help = Faster on the CPU, but slightly less accurate: probabilities may change by a few hundredths. Turn it off for training.
int8 = 8-bit weights (faster)
device = Device
progress = Progress
try-again = Try again
use-bundled = Use the bundled model
use-cpu = Use the CPU
auto = Auto
gpu-did-not-work = the GPU did not work: { $error }
worker-restarted = The worker crashed ({ $error }) and was restarted automatically. You do not need to do anything.
gpu-failed-twice = the GPU failed twice
gpu-failed-now-cpu = The GPU failed twice ({ $error }), so the page now uses the CPU, which is slower but reliable. Choose “GPU” to try again.
advice-connection = Check your connection and try again. If that does not help, reload the page.
advice-memory = Close other tabs that use a lot of memory, remove very large images and try again.
advice-gpu = Choose “CPU” under “Device”, or close other tabs that use the GPU and try again.
worker-did-not-start = could not be started
worker-crashed-twice = crashed twice within a minute
worker-failed = The worker { $what } ({ $error }). { $advice }
no-reason-given = no reason given
worker-version = The page and its worker are different versions, probably because the browser cached an old file ({ $error }). Reload the page.
worker-message-unreadable = one of its messages could not be read
worker-script-not-loaded = its script could not be loaded
worker-not-started = The browser could not start the background worker ({ $error }). Reload the page, or use a current version of Chrome, Edge, Firefox or Safari.

## Adding images

add-more-images = Add more images
drop-anywhere = Drop an image anywhere
add-an-image = Add an image
choose-images = Choose images
use-camera = Use the camera
choose-video = Choose a video
or-paste = or paste with{" "}
drop-or-paste = drop them, or paste with{" "}
formats-help = PNG, JPEG, WebP, GIF, BMP or TIFF, and AVIF or HEIC where this browser reads them. Images never leave this device.
add-sample = Add sample image: { $image }
try-a-sample = No image at hand? Try a sample
samples = Samples
sample-images = Sample images
dropped-a-link = That was a link, not an image file. Save the image and drop the file, or copy the image and paste it here.
drop-to-add = Drop to add
choose-folder = Choose a folder
choose-files-or-zip = Choose files or a zip
file-too-large = This file is larger than 100 MB. Add a smaller copy instead.
file-unreadable = This file could not be read. It is a folder, or it has been moved or changed. Add it again.
file-moved = this file could not be read: it has been moved or changed, add it again
sample-not-loaded = The sample image could not be loaded ({ $error }). Check your connection and try again, or use your own image.
download-blocked = The browser blocked the download. Check its download settings and try again.

## Labels

label-known = “{ $one }” is already in the list.
labels-known = { $count } of these are already in the list.
default-labels = cat, dog, bird, horse, fish, butterfly, flower, tree, mountain, beach, house, bridge, car, bicycle, airplane, ship, pizza, apple, cup of coffee, shoes
labels = Labels
copy-link-help = A link that opens this page with these labels, prompt templates and model
copy-link = Copy link
clear-all = Clear all
add-a-label = Add a label
add = Add
labels-help = Any words or phrases. Press Enter or comma to add a label, or paste a list.
no-labels = Add at least one label to classify images.
one-label = With one label the probability is always 100 %. Add another to compare.
remove-label = Remove label { $name }
remove = Remove
suggest-labels = Suggest labels
model-without-chinese = This model knows little Chinese: enter English labels, with an English prompt template.

## Prompt templates

template-empty = Enter a prompt with {"{"}label{"}"} where the label goes.
template-lower-case = Write {"{"}label{"}"} in lower case.
template-without-label = {"{"}label{"}"} is missing: put it where the label goes, as in “A sketch of a {"{"}label{"}"}.”
templates-averaged = { $count } templates averaged
prompt-templates = Prompt templates
quoted = “{ $text }”
templates-help-before = CLIP compares an image with text prompts. Each label replaces{" "}
templates-help-after = . The embeddings of several templates are averaged, which often improves accuracy.
add-template = Add a prompt template
template-example = A sketch of a {"{"}label{"}"}.
no-template = No template is selected: each label is used as is.
use-template = Use template { $template }
custom-template = Custom prompt template
remove-template = Remove template { $template }

## Answers

none-fits-said = { $name }: none fits well.
answer-said = { $name }: { $label }, { $percent }.
classified = { $images } classified. { $answers }
results = Results
show-cosine = Show cosine similarity
say-when-none-fits = Say when none fits
download-results-csv = Download results (CSV)
download-results-json = Download results as JSON
remove-all = Remove all
click-a-label = Click a label to see where in the image it fits.
independent-help = {" "}This model gives each label a probability of its own: they do not add up to 100 %.
fits-by-probability = An image fits if the probability of a label reaches this.
fits-by-share = An image fits if the labels get this share of the probability, against some 1,400 everyday words.
least-fit = Least fit
cancelled = Cancelled.
waiting-no-model = Waiting: no model is loaded.
waiting-for-model = Waiting for the model…
queued = Queued…
encoding-image = Encoding the image…
encoded-no-label = Encoded. Add a label to classify it.
cancelled-before = Cancelled before it was classified.
comparing = Comparing with the labels…
pixels = { $width } × { $height } pixels
timing = Preprocessed in { $preprocess }, encoded in { $encode } on { $device }
try-image-again = Try { $name } again
remove-image = Remove { $name }
labels-for = Labels for { $name }, most likely first
show-top = Show the top { $FOLDED }
show-all-labels = Show all { $total }
looking-for = Looking for “{ $label }”…
where-it-fits = Where “{ $label }” fits. Best at { $x } % from the left and { $y } % from the top.
not-located = “{ $label }” could not be located: { $error }.
less = less
more = more
save-png = Save PNG
show-where = Show where in the image
cosine-of-image-and-label = Cosine similarity of image and label
cosine-before = cosine similarity{" "}
probability = probability
none-fits = None of these fits well ({ $fit }); closest: { $closest }.
worker-crashed-on-image = The worker crashed on this image ({ $error }). Other images are not affected.
images-from = Images from { $number }

## Messages

messages = Messages
dismiss-message = Dismiss this message
dismiss = Dismiss
heat-map-not-saved = The heat map could not be saved: { $error }.
link-without-model = {" "}Your model is not in it: whoever opens it has to bring it.
link-copied = Link copied. It opens this page with these labels, templates and model; images are not part of it.
copy-this-link = Copy this link: { $address }{ $without_model }
link-not-made = The link could not be made: the browser does not tell the page its address.
no-safetensors = None of these is a .safetensors file. Choose the weights in that format, together with config.json or open_clip_config.json if the model has one.

## Models

bundled-scope = The bundled model covers about 450 everyday things in photos and 1,900 in drawings and emoji, by their English and Chinese names. Published models cover far more:
model-of-the-link = Model of the link
linked-model = The link was made with another model. With this one the answers may differ.
load-linked = Load { $name }
load-linked-bytes = Load { $name }, { $bytes } download
what-bundled-covers = What the bundled model covers
recommended-model = { $name }: { $bytes } download, { $merit }
model = Model
back-to-bundled = Back to the bundled model
source-bundled = bundled: everyday things
source-files = your files
published-facts = { $bytes } · { $parameters } M parameters · { $pixels } px input
imagenet-source = Zero-shot top-1 accuracy on ImageNet, from { $source }
small-download = {" "}small download
best-for-its-size = {" "}best for its size
load-name = Load { $name }
in-use = In use
load = Load
published-models = Published models
special-models = Models for one purpose
other-models = Other CLIP models
model-input = Hugging Face model name, or URL of a .safetensors file or folder
model-input-example = owner/name, or https://…/model.safetensors
choose-model-files = Choose model files
or-drop-model = or drop the files or the folder anywhere.
activation = Activation if there is no config
automatic = Automatic
quick-gelu = QuickGELU (OpenAI)
gelu = GELU (most others)
bytes-so-far = { $bytes } so far
resume-download = Resume download
delete-name = Delete { $name }
delete = Delete
downloaded-models = Downloaded models
downloaded-help = Stored in this browser, so they load offline. Deleting a model frees its space.

## Texts of the engine and the catalogue, which are in English; `foreign` finds them

foreign-cpu-one = CPU (one thread{ $how })
foreign-cpu = CPU ({ $threads } threads{ $how })
foreign-simd = , SIMD
foreign-chosen = chosen by you
foreign-gpu-unusable = the GPU cannot be used: { $reason }
foreign-no-webgpu = this browser does not support WebGPU, or it is disabled
foreign-no-gpu = WebGPU found no GPU
foreign-emulated = the only GPU is emulated in software ({ $name })
foreign-gpu-not-opened = the GPU could not be opened ({ $error })
foreign-purpose-chinese = labels in Chinese
foreign-purpose-clothes = clothes, shoes and accessories
foreign-purpose-species = species of animals, plants and fungi
foreign-purpose-street = where a street photograph was taken
foreign-purpose = for { $purpose }
